// The host as an agent for the JavaScript SDK of A2A; prints what each task came to.
import { randomUUID } from 'node:crypto';

const { folder, url, token, binding, session } = JSON.parse(process.argv[2]);
const sdk = await import(`${folder}/node_modules/@a2a-js/sdk/dist/index.js`);
const { ClientFactory, ClientFactoryOptions, JsonRpcTransportFactory, RestTransportFactory, DefaultAgentCardResolver } =
  await import(`${folder}/node_modules/@a2a-js/sdk/dist/client/index.js`);

const fetchImpl = (input, init = {}) => {
  const headers = new Headers(init.headers);
  headers.set('Authorization', `Bearer ${token}`);
  return fetch(input, { ...init, headers });
};
const Transport = binding === 'JSONRPC' ? JsonRpcTransportFactory : RestTransportFactory;
const factory = new ClientFactory(
  ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
    transports: [new Transport({ fetchImpl })],
    preferredTransports: [binding],
    cardResolver: new DefaultAgentCardResolver({ fetchImpl }),
  }),
);
const client = await factory.createFromUrl(url);

class Shown {
  taskId = '';
  text = '';
  asked = '';
  states = [];

  take(event) {
    const [[kind, value]] = Object.entries(sdk.StreamResponse.toJSON(event));
    const textOf = (artifact) => artifact.parts.map((part) => part.text ?? '').join('');
    if (kind === 'task') {
      this.taskId = value.id;
      this.text = (value.artifacts ?? []).map(textOf).join('');
    } else if (kind === 'artifactUpdate') {
      this.text = (value.append ? this.text : '') + textOf(value.artifact);
    }
    if (value.status) {
      this.states.push(value.status.state.replace('TASK_STATE_', ''));
      this.asked = (value.status.message?.parts ?? []).map((part) => part.text).join('');
    }
  }

  told() {
    return { text: this.text, states: this.states, asked: this.asked };
  }
}

const message = (text, more = {}) =>
  sdk.SendMessageRequest.fromJSON({
    message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...more },
  });

async function say(steps, more) {
  const shown = new Shown();
  const text = typeof steps === 'string' ? steps : JSON.stringify(steps);
  let events = client.sendMessageStream(message(text, more));
  for (;;) {
    try {
      for await (const event of events) shown.take(event);
      return shown;
    } catch (error) {
      if (!shown.taskId) throw error;
      // One that has ended meanwhile is not to be subscribed to.
      const task = await client.getTask(sdk.GetTaskRequest.fromJSON({ id: shown.taskId }));
      shown.take(sdk.StreamResponse.fromJSON({ task: sdk.Task.toJSON(task) }));
      if (['COMPLETED', 'FAILED'].includes(shown.states.at(-1))) return shown;
      events = client.resubscribeTask(sdk.SubscribeToTaskRequest.fromJSON({ id: shown.taskId }));
    }
  }
}

const tell = (scenario, came) => console.log(JSON.stringify({ scenario, came }));

tell('text', (await say([{ status: 'busy' }, { tokens: 3 }])).told());
tell('failed', (await say([{ raise: 'TurnError' }])).told());
const asked = await say([{ text: 'Well. ' }, { ask: 'Which?' }, { text: '.' }]);
tell('asked', asked.told());
tell('answered', (await say('blue', { taskId: asked.taskId })).told());
tell('long', (await say([{ tokens: 300, pause: 0.004 }])).told());
const stopped = new Shown();
for await (const event of client.sendMessageStream(message('[{"hold": 1}]', { contextId: session }))) {
  stopped.take(event);
  if (stopped.states.length === 1)
    await client.cancelTask(sdk.CancelTaskRequest.fromJSON({ id: stopped.taskId }));
}
tell('stopped', stopped.states.slice(-1));
const task = await client.getTask(sdk.GetTaskRequest.fromJSON({ id: asked.taskId }));
tell('task', sdk.Task.toJSON(task).status.state);
const listed = await client.listTasks(sdk.ListTasksRequest.fromJSON({ pageSize: 3 }));
tell('listed', listed.tasks.length);
