// A client of the release registry made of its protos alone: callable services, and errors with their details decoded.
// Nothing here repeats a call: what the server answered is what the caller sees.

import grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import protobuf from 'protobufjs';

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
}

/** Everything a caller needs: one client a service, and the words that ErrorInfo.reason can be. */
export class Registry {
  /** protos and googleProtos: the folders below which `releaseregistry/v1` and `google/rpc` lie. */
  constructor({ address, token, protos, googleProtos }) {
    const includeDirs = [protos, googleProtos];
    const definition = loadSync(
      ['tokens', 'organizations', 'release_service', 'errors'].map((file) => `releaseregistry/v1/${file}.proto`),
      { includeDirs, longs: String, enums: String, arrays: true, oneofs: true },
    );
    const api = grpc.loadPackageDefinition(definition).releaseregistry.v1;
    const options = { 'grpc.enable_retries': 0 };
    const connect = (Service) => new Service(address, grpc.credentials.createInsecure(), options);
    this.tokens = connect(api.TokenService);
    this.organizations = connect(api.OrganizationService);
    this.releases = connect(api.ReleaseService);
    this.reasons = new Set(
      definition['releaseregistry.v1.ErrorReason'].type.value.map(({ name }) => name.replace('ERROR_REASON_', '')),
    );
    this.token = token;
    this.rpc = new protobuf.Root();
    this.rpc.resolvePath = (_origin, target) =>
      target.startsWith('google/rpc/') ? `${googleProtos}/${target}` : target;
    this.rpc.loadSync(['google/rpc/status.proto', 'google/rpc/error_details.proto']);
  }

  metadata() {
    const metadata = new grpc.Metadata();
    if (this.token) metadata.set('authorization', `Bearer ${this.token}`);
    metadata.set('x-caller', 'node');
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
      const stream = this.open(client, method, this.settle(resolve, reject));
      (async () => {
        for await (const message of messages) {
          if (!stream.write(message)) await new Promise((drained) => stream.once('drain', drained));
        }
        stream.end();
      })().catch(reject);
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
      const Status = this.rpc.lookupType('google.rpc.Status');
      for (const { type_url: url, value } of Status.decode(bytes).details) {
        const name = url.split('/').pop();
        if (!DETAILS.includes(name)) continue;
        const Detail = this.rpc.lookupType(name);
        details[name] = Detail.toObject(Detail.decode(value), TO_PLAIN);
      }
    }
    return new RegistryError(error, details);
  }
}

function deadline() {
  return Date.now() + 60_000;
}
