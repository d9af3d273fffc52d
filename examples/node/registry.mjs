// A client of the release registry made of its protos alone: callable services, errors with their details decoded, and
// the repetition of what is worth repeating.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

const PROTOS = fileURLToPath(new URL('../../protos', import.meta.url));
const ERROR_DETAILS = fileURLToPath(new URL('error_details.proto', import.meta.url));
const DETAILS = ['google.rpc.ErrorInfo', 'google.rpc.BadRequest', 'google.rpc.RetryInfo'];
const TO_PLAIN = { longs: String, enums: String };

/** A call's failure: its code by name, and the details that a program decides by. */
export class RegistryError extends Error {
  constructor(error, details) {
    super(`${grpc.status[error.code]}: ${error.details}`);
    this.code = grpc.status[error.code];
    this.text = error.details;
    this.info = details['google.rpc.ErrorInfo'] ?? null;
    this.violations = details['google.rpc.BadRequest']?.fieldViolations ?? [];
    this.retryInfo = details['google.rpc.RetryInfo'] ?? null;
  }

  /** After how many seconds the server says that repeating is worth it; null when it is not. */
  get retrySeconds() {
    if (this.retryInfo === null) return null;
    const { seconds = 0, nanos = 0 } = this.retryInfo.retryDelay;
    return Number(seconds) + nanos / 1e9;
  }

  /** In one line. */
  explain() {
    const reason = `${this.code} ${this.info?.reason ?? ''}`;
    if (this.violations.length === 0) return `${reason}: ${this.text}`;
    return `${reason} (${this.violations.map(({ field, description }) => `${field}: ${description}`).join('; ')})`;
  }
}

/** Everything a caller needs: one client a service, and the words that ErrorInfo.reason can be. */
export class Registry {
  /** ca: a file of certificates to trust, or 'system' for the system's; without it the connection is plain text. */
  constructor({ address, token, caller = 'node', ca = null, protos = PROTOS }) {
    const definition = loadSync(
      ['tokens', 'organizations', 'release_service', 'uploads', 'errors'].map(
        (file) => `releaseregistry/v1/${file}.proto`,
      ),
      { includeDirs: [protos], longs: String, enums: String, arrays: true, oneofs: true },
    );
    const api = grpc.loadPackageDefinition(definition).releaseregistry.v1;
    const options = {
      // Which calls grpc repeats by itself, and how: it stands beside the protos.
      'grpc.service_config': readFileSync(`${protos}/releaseregistry/v1/grpc_service_config.json`, 'utf8'),
      // How long until a server that was away is looked for again: two minutes at most, unless it is said.
      'grpc.max_reconnect_backoff_ms': 1000,
    };
    const transport = credentials(ca);
    const connect = (Service) => new Service(address, transport, options);
    this.tokens = connect(api.TokenService);
    this.organizations = connect(api.OrganizationService);
    this.releases = connect(api.ReleaseService);
    this.uploads = connect(api.UploadService);
    this.reasons = new Set(
      definition['releaseregistry.v1.ErrorReason'].type.value.map(({ name }) => name.replace('ERROR_REASON_', '')),
    );
    this.token = token;
    this.caller = caller;
    this.details = protobuf.loadSync(ERROR_DETAILS);
  }

  metadata() {
    const metadata = new grpc.Metadata();
    if (this.token) metadata.set('authorization', `Bearer ${this.token}`);
    metadata.set('x-caller', this.caller);
    return metadata;
  }

  /** Unary: answers the response message. */
  call(client, method, request) {
    return new Promise((resolve, reject) => {
      client[method](request, this.metadata(), { deadline: deadline() }, this.settle(resolve, reject));
    });
  }

  /** Client streaming: sends the messages, waiting wherever the connection asks for it, and answers the response. */
  send(client, method, messages) {
    return new Promise((resolve, reject) => {
      let ended = false;
      let wake = () => {};
      const over = () => {
        ended = true; // the server may answer, or refuse, before everything was sent
        wake();
      };
      const stream = this.open(
        client,
        method,
        this.settle(
          (response) => (over(), resolve(response)),
          (error) => (over(), reject(error)),
        ),
      );
      (async () => {
        for await (const message of messages) {
          if (ended) return;
          if (!stream.write(message)) {
            await new Promise((resume) => {
              wake = resume;
              stream.once('drain', resume);
            });
          }
        }
        if (!ended) stream.end();
      })().catch((error) => {
        stream.cancel();
        reject(error);
      });
    });
  }

  /** Client streaming, left open: the caller writes and ends it. */
  open(client, method, callback) {
    return client[method](this.metadata(), { deadline: deadline() }, callback);
  }

  /** Server streaming: yields the messages; throws RegistryError when the stream ends in one. */
  async *receive(client, method, request) {
    try {
      yield* client[method](request, this.metadata(), { deadline: deadline() });
    } catch (error) {
      throw this.decode(error);
    }
  }

  settle(resolve, reject) {
    return (error, response) => (error ? reject(this.decode(error)) : resolve(response));
  }

  /** What stands in `grpc-status-details-bin`: a google.rpc.Status whose details are packed messages. */
  decode(error) {
    const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
    const details = {};
    if (bytes) {
      const Status = this.details.lookupType('google.rpc.Status');
      for (const { type_url: url, value } of Status.decode(bytes).details) {
        const name = url.split('/').pop();
        if (!DETAILS.includes(name)) continue;
        const Detail = this.details.lookupType(name);
        details[name] = Detail.toObject(Detail.decode(value), TO_PLAIN);
      }
    }
    return new RegistryError(error, details);
  }

  close() {
    for (const client of [this.tokens, this.organizations, this.releases, this.uploads]) client.close();
  }
}

/**
 * Calls again when the server says after what time that is worth it. For streams, which grpc cannot repeat by itself; a
 * lost connection says nothing, and is worth it, too.
 */
export async function patiently(call, { attempts = 5, told = () => {} } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      const wait = error.retrySeconds ?? (error.code === 'UNAVAILABLE' ? 0.5 : null);
      if (!(error instanceof RegistryError) || wait === null || attempt === attempts) throw error;
      told(wait, error);
      await new Promise((resume) => setTimeout(resume, wait * 1000));
    }
  }
}

function credentials(ca) {
  if (!ca) return grpc.credentials.createInsecure(); // for a server on this machine
  return ca === 'system' ? grpc.credentials.createSsl() : grpc.credentials.createSsl(readFileSync(ca));
}

function deadline() {
  return Date.now() + 60_000;
}
