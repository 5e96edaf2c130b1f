// Types of agent-client.js.

/** A value that JSON can hold. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface Usage {
  input_tokens: number;
  output_tokens: number;
  total_tokens: number;
}

interface Numbered {
  /** `<turn>-<seq>` */
  id: string;
}

/** With a `parent` it is what a sub-agent does, and no part of the answer. */
interface Placed extends Numbered {
  /** The `call_id` that the sub-agent works for. */
  parent?: string;
  /** Its name; without a `parent`, of a `status`: who speaks from here on. */
  agent?: string;
}

export type StatusEvent = Placed & { type: "status"; content: string };
export type ThinkingEvent = Placed & { type: "thinking"; content: string };
export type TokenEvent = Placed & { type: "token"; content: string };
export type ToolCallEvent = Placed & {
  type: "tool_call";
  tool: string;
  call_id: string;
  input: { [name: string]: Json };
  status: "running";
};
export type ToolResultEvent = Placed & {
  type: "tool_result";
  tool: string;
  call_id: string;
  output: Json;
  status: "complete" | "error";
};
export type InputRequestEvent = Numbered & {
  type: "input_request";
  request_id: string;
  prompt: string;
  /** JSON schema of the value that is asked for. */
  schema?: { [name: string]: Json };
};
/** The agent waits for tools of the page's own, which `tools` of `chat` run by themselves. */
export type ToolRequestEvent = Numbered & {
  type: "tool_request";
  request_id: string;
  prompt: string;
  calls: { call_id: string; tool: string; input: { [name: string]: Json } }[];
};
/** Another worker goes on: see `stillCounts`. */
export type WithdrawnEvent = Numbered & { type: "withdrawn"; after: string; calls?: string[] };
/** What lies between the two is no longer kept. */
/** The user has said something to the running turn, and, in a second one, the agent has taken it. */
export type SteeredEvent = Numbered & {
  type: "steered";
  steer_id: string;
  content: string;
  status: "waiting" | "taken";
};
export type GapEvent = Numbered & { type: "gap"; missed_after: string; resumes_at: string };
export type DoneEvent = Numbered & {
  type: "done";
  reply: string;
  session_id: string;
  turn_id: string;
  usage?: Usage;
};
export type ErrorEvent = Numbered & {
  type: "error";
  code: string;
  message: string;
  details?: { [name: string]: Json };
  retryable?: boolean;
};
export type CancelledEvent = Numbered & {
  type: "cancelled";
  reason: "user" | "disconnected" | "interrupted" | "deleted";
};

/** The agent gives the user a file; see `AgentClient.file`. */
export type FileEvent = Numbered & {
  type: "file";
  file_id: string;
  name: string;
  media_type: string;
  size: number;
};
export type AgentEvent =
  | FileEvent
  | SteeredEvent
  | StatusEvent
  | ThinkingEvent
  | TokenEvent
  | ToolCallEvent
  | ToolResultEvent
  | InputRequestEvent
  | ToolRequestEvent
  | GapEvent
  | WithdrawnEvent
  | DoneEvent
  | ErrorEvent
  | CancelledEvent;

export interface SessionInfo {
  session_id: string;
  state: "idle" | "running";
  turn_id: string;
  created_at: string;
  updated_at: string;
}

export interface Session extends SessionInfo {
  owner: string;
  messages: {
    role: "user" | "assistant";
    content: string;
    steered?: boolean;
    /** What came with it, or was given with it; without an id what is not kept. */
    files?: { file_id?: string; name: string; media_type: string; size: number }[];
  }[];
}

/** Whether an event that was read before still counts after this one. */
export function stillCounts(event: AgentEvent, withdrawn: WithdrawnEvent): boolean;

/** The connection is gone, or what came over it broke the rules. */
export class ConnectionFault extends Error {}

/** The host refused a request; `message` is in words for people. */
export class HostError extends Error {
  readonly status: number;
  readonly code: string;
  readonly details: { [name: string]: Json };
  readonly retryAfterMs: number;
  /** Whether the same request may succeed a little later. */
  get passing(): boolean;
}

export interface ConnectionState {
  state: "open" | "waiting";
  transport: "stream" | "poll";
  /** Why it waits, in words for people. */
  message: string | null;
  retryInMs: number;
}

export interface AgentClientOptions {
  /** The mount's prefix; by default where the module was loaded from. */
  baseUrl?: string | URL;
  token?: string | null;
  /** Gives the token; called again with the one that was refused, and why. Null gives up. */
  getToken?: (asked: {
    refused: string | null;
    message: string | null;
  }) => string | null | undefined | Promise<string | null | undefined>;
  fetch?: typeof globalThis.fetch;
  /** `"include"` sends the site's cookies to another origin too. */
  credentials?: RequestCredentials;
  /** How long a stream may be without its first byte before turns are polled instead. */
  firstByteSeconds?: number;
  /** The host's AGENT_KEEPALIVE_SECONDS. */
  keepAliveSeconds?: number;
  /** How often in a row a connection may fail. */
  maxRetries?: number;
}

/** A tool that the page runs when the agent's model calls it. */
export interface PageTool {
  (args: { [name: string]: Json }): Json | void | Promise<Json | void>;
  description?: string;
  /** JSON schema of its arguments. */
  parameters?: { [name: string]: unknown };
}

export interface StreamOptions {
  /** What the page runs for the agent, by its name; given to `events`, for what waits there. */
  tools?: { [name: string]: PageTool };
  /** Ends the reading, not the turn. */
  signal?: AbortSignal | null;
  onConnection?: (state: ConnectionState) => void;
}

export interface ChatOptions extends StreamOptions {
  /** Handed to the agent. */
  metadata?: { [name: string]: Json };
  onDisconnect?: "cancel" | "continue";
  /** With `"steer"` the message goes to the turn that runs, if one does. */
  ifBusy?: "reject" | "enqueue" | "interrupt" | "steer";
  /** Ids of files of the session, see `upload`. */
  files?: string[];
  /** By default a new one for each call. */
  idempotencyKey?: string;
}

export interface EventsOptions extends StreamOptions {
  /** Go on behind this event: its id, or better the `cursor` of the stream that gave it. */
  after?: string | null;
}

/** Events, each once and in order; to be iterated once. Rejects with HostError, ConnectionFault. */
export class EventStream implements AsyncIterable<AgentEvent> {
  private constructor();
  readonly sessionId: string;
  /** The turn of the newest event, or of the message; null until the host has told it. */
  readonly turnId: number | null;
  /** Whether its agent takes what `steer` says, as far as that is known. */
  readonly steerable: boolean;
  /** The id of the last event seen. */
  readonly lastEventId: string | null;
  /** The same with the mark of its run: of a session that began again since, it is refused. */
  readonly cursor: string | null;
  [Symbol.asyncIterator](): AsyncGenerator<AgentEvent, void, undefined>;
}

export class AgentClient {
  constructor(options?: AgentClientOptions);
  /** Whether a proxy was found to hold streams back, so that turns are polled. */
  polls: boolean;
  /** Starts a turn; a session id of null begins a new session. */
  chat(sessionId: string | null, message: string, options?: ChatOptions): EventStream;
  /** What comes after an event, until the newest turn has ended. Starts no turn. */
  events(sessionId: string, options?: EventsOptions): EventStream;
  /** Sends a file for messages of this session. */
  upload(
    sessionId: string,
    file: Blob & { name?: string },
    options?: { name?: string; signal?: AbortSignal },
  ): Promise<{ id: string; session_id: string; name: string; media_type: string; size: number }>;
  /** A file of a `file` event, or one that was sent. */
  file(fileId: string): Promise<Blob>;
  /** Forgets a file that was sent. */
  removeFile(fileId: string): Promise<{ ok: true; deleted: boolean }>;
  /** Says something to the turn that runs; `not_steerable` where it has not got it. */
  steer(
    sessionId: string,
    message: string,
  ): Promise<{ ok: true; turn_id: string; steer_id: string; event_id: string }>;
  /** Ends the turn, or all that runs and waits in the session. */
  cancel(
    sessionId: string,
    turnId?: string | number | null,
  ): Promise<{ ok: true; cancelled: boolean; turn_id?: string }>;
  /** Answers the agent's question. */
  answer(sessionId: string, requestId: string, value: Json): Promise<{ ok: true }>;
  /** Gives what the calls of a `tool_request` came to; `tools` of `chat` does it by itself. */
  toolResult(
    sessionId: string,
    requestId: string,
    results: { call_id: string; output: Json; is_error?: boolean }[],
  ): Promise<{ ok: true }>;
  /** The session with its messages, or null if the host does not know it. */
  session(sessionId: string): Promise<Session | null>;
  /** The user's sessions, newest first, a page at a time. */
  sessions(page?: {
    limit?: number;
    cursor?: string;
  }): Promise<{ sessions: SessionInfo[]; next_cursor?: string;
    /** Whether messages may have files. */
    takes_files?: boolean }>;
  /** Ends what runs in the session, and forgets it. */
  remove(sessionId: string): Promise<{ ok: true; deleted: boolean }>;
  /** Opens this session's streams to who cannot send headers. */
  ticket(sessionId: string): Promise<{ ticket: string; expires_in: number }>;
  /** A WebSocket to the session. */
  socket(
    sessionId: string,
    options?: Pick<AgentWebSocketOptions, "after" | "WebSocket">,
  ): AgentWebSocket;
  /** The address of a path below the mount's prefix. */
  url(path: string): URL;
  /** Sends one request below the prefix; the response may have any status but 401. */
  request(
    path: string,
    options?: {
      method?: string;
      headers?: Record<string, string>;
      json?: unknown;
      signal?: AbortSignal;
    },
  ): Promise<Response>;
}

export interface AgentWebSocketOptions extends AgentClientOptions {
  sessionId: string;
  /** Used instead of one made of the other options. */
  client?: AgentClient;
  /** Go on behind this event: its id, or the `cursor` of a stream. */
  after?: string | null;
  WebSocket?: typeof globalThis.WebSocket;
}

/** What an AgentWebSocket tells; an `error` without an id is about a message that was sent. */
export type SocketEvents = {
  [Type in Exclude<AgentEvent["type"], "error">]: Extract<AgentEvent, { type: Type }>;
} & {
  error: Omit<ErrorEvent, "id"> & { id?: string };
  event: AgentEvent | (Omit<ErrorEvent, "id"> & { id?: undefined });
  connection: { state: "open" | "waiting"; retryInMs: number };
  /** Null after `close()`. */
  close: Error | null;
};

/** A session over one WebSocket, which comes back by itself after a drop. */
export class AgentWebSocket {
  constructor(options: AgentWebSocketOptions);
  /** Calls the handler with each event of this type; returns what takes it off again. */
  on<Type extends keyof SocketEvents>(
    type: Type,
    handler: (event: SocketEvents[Type]) => void,
  ): () => void;
  /** Sends a message, which starts a turn. */
  send(content: string, options?: Pick<ChatOptions, "metadata" | "onDisconnect" | "ifBusy">): void;
  /** Says something to the turn that runs. */
  steer(content: string): void;
  /** Ends what runs and waits in the session. */
  cancel(): void;
  /** Answers the agent's question. */
  answer(requestId: string, value: Json): void;
  /** Closes the connection for good. */
  close(): void;
}

/** Server-sent text, cut anywhere, to events. */
export class SseParser {
  retryMs: number | null;
  push(text: string): { id: string | null; run?: string; data: string }[];
}

/** The text of a body until it ends; `onText` is called for whatever arrives. */
export function readText(
  body: ReadableStream<Uint8Array>,
  onText: () => void,
): AsyncGenerator<string, void, void>;

/** A name that nobody can guess. */
export function randomName(): string;
