// What a page does with a turn's events, whatever hands them over; also run in a browser as it is.
const NAMES = 'status thinking token tool_call tool_result input_request gap done error cancelled'.split(' ');

export class Follower {
  seen = [];
  answers = [];
  #args;

  /** `base` is the mount; `stop` cancels the turn at its first token. */
  constructor(args) {
    this.#args = args;
  }

  /** Takes an event; whether it is the turn's last one. */
  take(id, name, text) {
    const data = JSON.parse(text);
    this.seen.push({ id, name, data });
    if (data.type === 'input_request') this.#post('/input', { request_id: data.request_id, value: 'blue' });
    if (data.type === 'token' && this.#args.stop && !this.answers.length) this.#post('/cancel', {});
    return ['done', 'error', 'cancelled'].includes(data.type);
  }

  #post(path, body) {
    const { base, session, token } = this.#args;
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
    const options = { method: 'POST', headers, body: JSON.stringify(body) };
    this.answers.push(fetch(`${base}/chat/${session}${path}`, options).then((answer) => answer.json()));
  }

  async end() {
    return { seen: this.seen, answers: await Promise.all(this.answers) };
  }
}

/** Follows a turn by an EventSource, a browser's or one like it. */
export function followSource(source, args) {
  const follower = new Follower(args);
  return new Promise((done) => {
    const take = (event) => {
      if (event.data === undefined) return; // the connection is lost; it comes back by itself
      if (!follower.take(event.lastEventId, event.type, event.data)) return;
      source.close(); // or it would come back after the end, too
      done(follower.end());
    };
    for (const name of NAMES) source.addEventListener(name, take);
  });
}
