// Scenarios of an AG-UI front end; each prints what its page shows in the end.
const { library, url, token, session, only } = JSON.parse(process.argv[2]);
const { HttpAgent } = await import(library);

process.on('unhandledRejection', (reason) => {
  console.error('unhandled', reason);
  process.exit(1);
});

class Page {
  events = [];
  faults = [];
  cut; // how many characters of text are shown before the run is stopped

  constructor(name) {
    this.agent = new HttpAgent({
      url,
      headers: { Authorization: `Bearer ${token}` },
      threadId: `${session}-${name}`,
    });
    this.agent.subscribe({
      onEvent: ({ event }) => {
        this.events.push(event);
        const last = this.agent.messages.at(-1);
        if (this.cut && last?.role === 'assistant' && last.content?.length > this.cut) this.agent.abortRun();
      },
      onRunErrorEvent: ({ event }) => {
        this.faults.push([event.code ?? null, event.message]);
      },
    });
  }

  async say(text, options = {}) {
    this.agent.addMessage({ id: `u-${this.agent.messages.length}`, role: 'user', content: text });
    return this.run({ forwardedProps: { page: 1 }, ...options });
  }

  async run(options) {
    try {
      await this.agent.runAgent(options);
    } catch (error) {
      this.faults.push([error.status ?? null, error.message]);
    }
  }

  types() {
    return this.events.map((event) => event.type);
  }

  outcomes() {
    return this.events.filter((event) => event.type === 'RUN_FINISHED').map(({ outcome }) => outcome?.type ?? null);
  }

  get interrupt() {
    const [interrupt] = this.agent.pendingInterrupts;
    return interrupt;
  }

  answer(payload, status = 'resolved') {
    return this.run({ resume: [{ interruptId: this.interrupt.id, status, payload }] });
  }

  /** The messages without their ids, which must all differ. */
  shown() {
    const { messages } = this.agent;
    const ids = new Set(messages.map((message) => message.id));
    if (ids.size !== messages.length) throw new Error(`ids used twice: ${JSON.stringify(messages)}`);
    const calls = new Map();
    return messages.map(({ role, content, toolCalls, toolCallId }) => {
      for (const call of toolCalls ?? []) calls.set(call.id, call.function.name);
      const made = { role, content: content || undefined };
      if (toolCalls) made.calls = toolCalls.map((call) => [call.function.name, call.function.arguments]);
      if (toolCallId) made.of = calls.get(toolCallId) ?? null;
      return made;
    });
  }
}

const scenarios = {
  async text() {
    const page = new Page('text');
    await page.say('hello');
    await page.say('history');
    return { shown: page.shown(), types: page.types(), faults: page.faults };
  },

  async tool() {
    const page = new Page('tool');
    await page.say('tool');
    const shown = page.shown();
    await page.say('only-tool');
    return { shown, bare: page.shown().slice(shown.length), faults: page.faults };
  },

  async error() {
    const page = new Page('error');
    await page.say('fail');
    await page.run({});
    await page.say('history');
    return { shown: page.shown(), faults: page.faults };
  },

  // abortRun() closes the connection; the host ends the turn when nobody comes back.
  async abort() {
    const page = new Page('abort');
    page.cut = 3; // an event is told before it is shown
    await page.say('held');
    const other = new Page('abort');
    await other.say('hello');
    return { text: page.shown().at(-1).content, faults: page.faults, busy: other.faults };
  },

  // Two runs of one id are one turn.
  async repeat() {
    const page = new Page('repeat');
    const copy = new Page('repeat');
    await Promise.all([page, copy].map((one) => one.say('hello', { runId: 'run-1' })));
    await page.say('history');
    return { shown: page.shown(), copy: copy.shown(), faults: [...page.faults, ...copy.faults] };
  },

  async cancelled() {
    const page = new Page('cancelled');
    const running = page.say('held');
    while (!page.types().includes('TEXT_MESSAGE_CONTENT')) await new Promise((done) => setTimeout(done, 10));
    const cancel = url.replace('/ag-ui', `/chat/${page.agent.threadId}/cancel`);
    await fetch(cancel, { method: 'POST', headers: { Authorization: `Bearer ${token}` } });
    await running;
    return { outcomes: page.outcomes(), faults: page.faults };
  },

  async ask() {
    const page = new Page('ask');
    await page.say('ask');
    const asked = [page.interrupt];
    await page.answer('blue');
    asked.push(page.interrupt);
    await page.answer(true);
    return { asked, shown: page.shown(), outcomes: page.outcomes(), faults: page.faults };
  },

  async approve() {
    const page = new Page('approve');
    await page.say('approve');
    const [call] = page.agent.messages.at(-1).toolCalls;
    const asked = { ...page.interrupt, isForCall: page.interrupt.toolCallId === call.id };
    await page.answer({ approved: true });
    const shown = page.shown();
    await page.say('approve');
    await page.answer({ approved: false, reason: 'yes, but not now' });
    await page.say('approve');
    await page.answer(undefined, 'cancelled');
    return { asked, shown, denied: page.shown().slice(shown.length), faults: page.faults };
  },

  // The page is loaded again while a question waits; both copies answer.
  async askAfterReload() {
    const page = new Page('reload');
    await page.say('ask');
    const reloaded = new Page('reload');
    await reloaded.say('hello');
    await reloaded.answer('blue');
    await page.answer('red');
    await reloaded.answer(true);
    return { shown: reloaded.shown(), copy: page.shown(), faults: [...page.faults, ...reloaded.faults] };
  },

  // One sub-agent asks, which ends the run, and goes on in the next one.
  async delegate() {
    const page = new Page('delegate');
    await page.say('delegate');
    await page.answer('blue');
    const names = new Map();
    const told = [];
    for (const event of page.events) {
      if (event.type === 'SUBAGENT_STARTED') names.set(event.subagentRunId, event.name);
      if (event.type.startsWith('SUBAGENT')) told.push([event.type, names.get(event.subagentRunId), event.outcome?.type ?? null]);
    }
    const parents = page.events.filter(({ type }) => type === 'SUBAGENT_STARTED');
    const calls = new Map(page.agent.messages.flatMap(({ toolCalls }) => toolCalls ?? []).map((call) => [call.id, call.function.name]));
    const said = page.agent.messages
      .filter(({ role, content }) => role === 'assistant' && content)
      .map(({ content, subagentRunId }) => [names.get(subagentRunId) ?? null, content]);
    const places = parents.map((one) => [one.name, calls.get(one.parentToolCallId) ?? null, names.get(one.parentSubagentRunId) ?? null]);
    const shown = page.shown();
    await page.say('history');
    return { told, said, places, shown, history: page.shown().at(-1).content, faults: page.faults, outcomes: page.outcomes() };
  },

  // Clients before 1.0 know no interrupts: the question is text, and the next message answers it.
  async askInText() {
    const page = new Page('in-text');
    await page.say('ask');
    await page.say('blue');
    await page.say('yes');
    return { shown: page.shown(), faults: page.faults };
  },
};

if (only?.includes('delegate0')) {
  scenarios.delegate0 = async () => {
    const page = new Page('delegate0');
    await page.say('delegate');
    await page.say('blue');
    return { shown: page.shown(), faults: page.faults };
  };
}

for (const name of only ?? Object.keys(scenarios)) {
  const shown = await scenarios[name]();
  console.log(JSON.stringify({ scenario: name, ...shown }));
}
process.exit(0);
