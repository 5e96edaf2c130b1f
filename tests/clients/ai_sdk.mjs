// Scenarios of a useChat front end, all at once; each prints what its page shows in the end.
import { load, Page, until } from './ai_sdk_hook.mjs';

// `other` is where a second page, and a stop, go: another worker of the same host.
const { version, url, other = url, token, session, only } = JSON.parse(process.argv[2]);
const library = await load(version);
const { sdk } = library;
const approves = version !== 5;

function open(id, options = {}) {
  const query = approves ? '' : '?version=5';
  return new Page(library, { url, other, token, id: `${session}-${id}`, query, ...options });
}

/** The same chat in a page that was loaded again, or by somebody else. */
const openAnew = (id, options) => open(id, { url: other, ...options });

// What the README says.
const complete = (o) =>
  (approves && sdk.lastAssistantMessageIsCompleteWithApprovalResponses(o)) ||
  sdk.lastAssistantMessageIsCompleteWithToolCalls(o);

const asked = (chat) =>
  chat.messages.at(-1)?.parts.findLast(
    (part) =>
      part.state === 'approval-requested' || (part.toolName === 'ask_user' && part.state === 'input-available'),
  );

/** Answers the question that is shown, with yes or no or a text. */
function answer(page, value) {
  const part = asked(page.chat);
  if (part.state === 'approval-requested') {
    const reason = typeof value === 'string' ? value : undefined;
    return page.chat.addToolApprovalResponse({ id: part.approval.id, approved: value === true, reason });
  }
  const given = { tool: part.toolName, toolCallId: part.toolCallId, output: value };
  return page.chat.addToolOutput(given);
}

async function answerNext(page, value) {
  await page.until((chat) => chat.status === 'ready' && asked(chat), 'a question');
  const part = asked(page.chat);
  const sent = page.requests.length;
  await answer(page, value);
  await page.until(() => page.requests[sent]?.status, 'the answer sent');
  await page.status('ready', 'error');
  return { tool: part.toolName, state: part.state, input: part.input };
}

const scenarios = {
  async text() {
    const page = open('text');
    await page.say('hello');
    return { ...page.summary(), data: page.data.map((part) => part.type), finishes: page.finishes };
  },

  // A front end that sends by itself what is complete must not send answers back.
  async tool() {
    const page = open('tool', { sendAutomaticallyWhen: complete });
    await page.say('tool');
    const shown = page.summary();
    await page.say('only-tool');
    return { ...shown, bare: page.summary() };
  },

  async error() {
    const page = open('error');
    await page.say('fail');
    const failed = page.summary();
    page.chat.clearError();
    await page.chat.regenerate();
    await page.status('error');
    return { ...failed, again: page.summary().roles };
  },

  async refused() {
    const page = open('refused');
    const second = openAnew('refused');
    await page.until(() => true, 'mounted');
    page.chat.sendMessage({ text: 'held' });
    await page.until(() => page.last?.role === 'assistant', 'an answer');
    await second.say('hello');
    await page.chat.stop();
    await page.post('/stop');
    return second.summary();
  },

  async resume() {
    const page = open('resume');
    await page.until(() => true, 'mounted');
    page.chat.sendMessage({ text: 'held' });
    await page.until(() => page.last?.role === 'assistant' && page.text() === 'w1 w2 w3 ', 'some text');
    const kept = structuredClone(page.chat.messages);
    page.close();
    const reloaded = openAnew('resume', { resume: true, messages: kept });
    await until(() => reloaded.requests[0]?.status, () => 'the resume');
    await page.release();
    await reloaded.until((chat) => chat.status === 'ready' && reloaded.text().includes('w30'), 'the end');
    return { ...reloaded.summary(), kept: page.text(kept.at(-1)).length };
  },

  async idle() {
    const page = open('idle', { resume: true });
    await until(() => page.requests.at(-1)?.status, () => 'an answer to the resume');
    await page.status('ready');
    return page.summary();
  },

  // On the same page useChat takes a replay from version 7 on; in 6 a Chat made by hand does.
  async reconnect() {
    const page = open('reconnect', { byHand: version === 6 });
    await page.until(() => true, 'mounted');
    page.broken = {};
    page.chat.sendMessage({ text: 'held' });
    await page.until(() => page.last?.role === 'assistant' && page.text() === 'w1 w2 w3 ', 'some text');
    page.broken.now();
    await page.status('error');
    const [lost] = page.finishes;
    page.broken = undefined;
    if (version === 5) {
      page.close();
      const again = openAnew('reconnect', { resume: true, messages: page.chat.messages });
      await until(() => again.requests[0]?.status, () => 'the resume');
      await page.release();
      await again.until((chat) => chat.status === 'ready' && again.text().includes('w30'), 'the end');
      return { ...again.summary(), lost };
    }
    const resumed = page.chat.resumeStream();
    await until(() => page.requests[1]?.status, () => 'the resume');
    await page.release();
    await resumed;
    await page.until((chat) => chat.status === 'ready' && page.text().includes('w30'), 'the end');
    return { ...page.summary(), lost };
  },

  async stop() {
    const page = open('stop');
    await page.until(() => true, 'mounted');
    page.chat.sendMessage({ text: 'held' });
    await page.until(() => page.last?.role === 'assistant' && page.text() === 'w1 w2 w3 ', 'some text');
    const viewer = openAnew('stop', { resume: true });
    await viewer.until(() => viewer.last && viewer.text() === 'w1 w2 w3 ', 'the same text');
    const stopped = await page.post('/stop');
    await Promise.all([page.status('ready'), viewer.status('ready')]);
    return { ...page.summary(), stopped, viewer: viewer.summary(), finishes: page.finishes };
  },

  // stop() alone leaves the turn running, for whoever comes back.
  async leave() {
    const page = open('leave');
    await page.until(() => true, 'mounted');
    page.chat.sendMessage({ text: 'held' });
    await page.until(() => page.last?.role === 'assistant', 'an answer');
    await page.chat.stop();
    await page.status('ready');
    const stopped = await page.post('/stop');
    return { ...page.summary(), stopped, finishes: page.finishes };
  },

  async approve() {
    const page = open('approve', { sendAutomaticallyWhen: complete });
    await page.say('approve');
    const questions = [await answerNext(page, true)];
    const shown = page.summary();
    await page.say('approve');
    questions.push(await answerNext(page, 'yes, but not now'));
    return { ...shown, questions, denied: page.summary() };
  },

  async approveTwo() {
    const page = open('two', { sendAutomaticallyWhen: complete });
    await page.say('approve-two');
    const questions = [await answerNext(page, true), await answerNext(page, false)];
    return { ...page.summary(), questions };
  },

  async ask() {
    const page = open('ask', { sendAutomaticallyWhen: complete });
    await page.say('ask');
    const questions = [await answerNext(page, 'blue'), await answerNext(page, true)];
    return { ...page.summary(), questions };
  },

  // The page is loaded again while a question waits, and answers twice.
  async askAfterReload() {
    const page = open('asked', { sendAutomaticallyWhen: complete });
    await page.say('ask');
    page.close();
    const reloaded = openAnew('asked', {
      resume: true,
      messages: page.chat.messages,
      sendAutomaticallyWhen: complete,
    });
    const copy = openAnew('asked', { messages: page.chat.messages, sendAutomaticallyWhen: complete });
    await reloaded.until(() => reloaded.finishes.length, 'the end of the replay');
    await reloaded.status('ready');
    await answerNext(reloaded, 'blue');
    await answerNext(copy, 'red');
    await answerNext(reloaded, true);
    await copy.until((chat) => chat.status !== 'streaming' && chat.status !== 'submitted', 'the end');
    return { ...reloaded.summary(), copy: copy.summary() };
  },

  async regenerate() {
    const page = open('again');
    await page.say('hello');
    await page.say('history');
    const first = page.summary();
    await page.chat.regenerate();
    await page.status('ready', 'error');
    const second = page.summary();
    const [{ id }] = page.chat.messages.slice(-2);
    await page.chat.sendMessage({ messageId: id, text: 'history edited' });
    await page.status('ready', 'error');
    const edited = page.summary();
    const [old] = page.chat.messages;
    await page.chat.sendMessage({ messageId: old.id, text: 'history' });
    await page.status('ready', 'error');
    return { first, second, edited, old: page.summary() };
  },

  // The same message posted twice, as by a retry or a second click.
  async repeat() {
    const page = open('repeat');
    const copy = openAnew('repeat');
    const ids = ['u-1', 'u-1'];
    await Promise.all([page, copy].map((one, place) => one.say('hello', ids[place])));
    return { ...page.summary(), copy: copy.summary() };
  },
};

const names = only ?? Object.keys(scenarios);
await Promise.all(
  names.map(async (name) => console.log(JSON.stringify({ scenario: name, ...(await scenarios[name]()) }))),
);
process.exit(0);
