// useChat of one version of the AI SDK, mounted in a page of jsdom.
import { JSDOM } from 'jsdom';

const dom = new JSDOM('<!doctype html><body></body>', { url: 'http://localhost/' });
globalThis.window = dom.window;
globalThis.document = dom.window.document;

const { createElement } = await import('react');
const { createRoot } = await import('react-dom/client');

const WAIT_SECONDS = 20;

/** Waits for a condition; fails with what did not happen. */
export async function until(condition, what) {
  const deadline = Date.now() + WAIT_SECONDS * 1000;
  for (;;) {
    const found = await condition();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`not within ${WAIT_SECONDS} s: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The parts of one version. */
export async function load(version) {
  const sdk = await import(`ai-${version}`);
  const { useChat, Chat } = await import(`ai-sdk-react-${version}`);
  return { sdk, useChat, Chat };
}

/** A page with a chat, which notes every request it makes. */
export class Page {
  constructor({ sdk, useChat, Chat }, { url, other, token, id, query = '', byHand, ...options }) {
    this.requests = [];
    this.data = [];
    this.finishes = [];
    this.api = `${url}/ai-sdk/chat`;
    this.other = `${other}/ai-sdk/chat`;
    this.headers = { Authorization: `Bearer ${token}` };
    this.id = id;
    const transport = new sdk.DefaultChatTransport({
      api: `${this.api}${query}`,
      headers: this.headers,
      fetch: (to, init) => this.fetch(to, init),
    });
    const whole = {
      id,
      transport,
      onData: (part) => this.data.push(part),
      onFinish: ({ isAbort, isDisconnect, isError }) =>
        this.finishes.push({ isAbort, isDisconnect, isError }),
      ...options,
    };
    const used = byHand ? { chat: new Chat(whole) } : whole;
    const container = document.body.appendChild(document.createElement('div'));
    this.root = createRoot(container);
    this.renders = 0;
    this.View = () => {
      this.chat = useChat(used);
      this.renders += 1;
      return null;
    };
    this.root.render(createElement(this.View));
  }

  async fetch(to, init = {}) {
    const request = { method: init.method ?? 'GET' };
    this.requests.push(request);
    const response = await globalThis.fetch(to, init);
    request.status = response.status;
    return this.broken ? this.breakable(response) : response;
  }

  /** A response whose body fails as Chromium's does once `broken.now()` is called. */
  breakable(response) {
    if (!response.body) return response;
    const reader = response.body.getReader();
    const lost = new Promise((_, reject) => {
      this.broken.now = () => reject(new TypeError('network error'));
    });
    lost.catch(() => reader.cancel());
    const body = new ReadableStream({
      async pull(controller) {
        const { done, value } = await Promise.race([reader.read(), lost]);
        if (done) controller.close();
        else controller.enqueue(value);
      },
    });
    return new Response(body, { status: response.status, headers: response.headers });
  }

  /** Has the hook show what is so now; a render may lag behind. */
  async settle() {
    const before = this.renders;
    this.root.render(createElement(this.View, { before }));
    await until(() => this.renders > before, () => 'a render');
  }

  /** Waits for a status. */
  async status(...wanted) {
    await this.settle();
    await this.until((chat) => wanted.includes(chat.status), wanted.join(' or '));
    return this.chat;
  }

  async until(condition, what) {
    const seen = () => `${what}; ${this.chat?.status} ${JSON.stringify(this.chat?.messages)}`;
    return until(() => this.chat && condition(this.chat), seen);
  }

  /** Sends a message and waits until it is answered. */
  async say(text, id) {
    await this.until(() => true, 'mounted');
    const message = id ? { id, role: 'user', parts: [{ type: 'text', text }] } : { text };
    await this.chat.sendMessage(message);
    return this.status('ready', 'error');
  }

  async post(path) {
    const response = await globalThis.fetch(`${this.other}/${this.id}${path}`, {
      method: 'POST',
      headers: this.headers,
    });
    return { status: response.status, body: await response.json() };
  }

  /** Lets a held turn go on, on the host that runs it. */
  async release() {
    const message = { role: 'user', parts: [{ type: 'text', text: `release ${this.id}` }] };
    const response = await globalThis.fetch(this.api, {
      method: 'POST',
      headers: { ...this.headers, 'content-type': 'application/json' },
      body: JSON.stringify({ id: `${this.id}-release`, messages: [message] }),
    });
    if (!(await response.text()).includes('released')) throw new Error('the turn was not released');
  }

  get last() {
    return this.chat.messages.at(-1);
  }

  /** The text of a message. */
  text(message = this.last) {
    return message.parts.filter((part) => part.type === 'text').map((part) => part.text).join('');
  }

  /** The last message without what each version adds of its own. */
  parts(message = this.last) {
    const kept = ['type', 'text', 'state', 'toolName', 'toolCallId', 'input', 'output', 'errorText'];
    return message.parts.map((part) =>
      Object.fromEntries(kept.filter((name) => part[name] !== undefined).map((name) => [name, part[name]])),
    );
  }

  summary() {
    const { status, error, messages } = this.chat;
    return {
      status,
      error: error?.message,
      roles: messages.map((message) => message.role),
      id: this.last?.id,
      text: this.last && this.text(),
      parts: this.last && this.parts(),
      requests: structuredClone(this.requests),
    };
  }

  close() {
    this.root.unmount();
  }
}
