// Clients of plain event streams; prints what each has seen of its turn.
import { fetchEventSource } from '@microsoft/fetch-event-source';
import { EventSource } from 'eventsource';
import { Follower, followSource } from './sse_follow.mjs';

const runs = JSON.parse(process.argv[2]).runs;

// The package looks at its page: whether that is hidden.
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
globalThis.window = globalThis;
// The timer of `eventsource` that reconnects does not keep a process alive.
setInterval(() => {}, 1_000);

const clients = {
  async eventsource(args) {
    const { base, session, token } = args;
    const authorized = (url, init) =>
      fetch(url, { ...init, headers: { ...init.headers, Authorization: `Bearer ${token}` } });
    const url = `${base}/chat/${session}/events?named=1&last_event_id=1-0`;
    return followSource(new EventSource(url, { fetch: authorized }), args);
  },

  // It sends the same POST again, which its key leads to the same turn. The id that it sends along
  // may be of an event that was cut off behind its id, so the last whole one's stands in for it.
  async fetchEventSource(args) {
    const { base, session, token, body } = args;
    const follower = new Follower(args);
    const resuming = (input, init) => {
      const last = follower.seen.at(-1);
      return fetch(input, last ? { ...init, headers: { ...init.headers, 'last-event-id': last.id } } : init);
    };
    await fetchEventSource(`${base}/chat/${session}?named=1`, {
      method: 'POST',
      headers: {
        Authorization: `Bearer ${token}`,
        'Content-Type': 'application/json',
        'Idempotency-Key': session,
      },
      body: JSON.stringify(body),
      fetch: resuming,
      onmessage: ({ id, event, data }) => void follower.take(id, event, data),
    });
    return follower.end();
  },
};

await Promise.all(
  runs.map(async ({ client, ...args }) => {
    console.log(JSON.stringify({ session: args.session, ...(await clients[client](args)) }));
  }),
);
process.exit(0);
