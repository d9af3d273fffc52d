// The whole journey of a release, as another team's CI would make it. Prints a line a step; the first step that is not
// as promised ends the program with its reason and exit code 1.
//
//   REGISTRY_TOKEN=... node journey.mjs ADDRESS

import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';

import { Registry, RegistryError } from './registry.mjs';

const [address] = process.argv.slice(2);
const registry = new Registry({ address, token: process.env.REGISTRY_TOKEN });
const { tokens, organizations, releases } = registry;

const slug = `node-${randomBytes(4).toString('hex')}`;
const organization = `organizations/${slug}`;
const project = `${organization}/projects/web`;
const first = `${organization}/releases/app@1.0.0`;
const second = `${organization}/releases/app@1.1.0`;
const FRAME = 256 * 1024;

function commit(number) {
  return {
    id: number.toString(16).padStart(40, '0'),
    repository: 'acme/web',
    authorName: number % 2 ? 'Ada' : 'Émile',
    authorEmail: number % 2 ? 'Ada@Example.com' : 'emile@example.com',
    message: `Change ${number}\n\nWith a body.`,
    commitTime: { seconds: String(1_700_000_000 + number * 60), nanos: 123_456_000 },
    changedFiles: [
      { path: `src/${number}.js`, changeType: 'CHANGE_TYPE_MODIFIED' },
      { path: 'README.md', changeType: 'CHANGE_TYPE_ADDED' },
    ],
  };
}

function createRelease(version, more = {}) {
  return registry.call(releases, 'CreateRelease', {
    parent: organization,
    release: { version, projects: [project] },
    ...more,
  });
}

/** The messages of a whole upload: header, data frames, finish. */
function* frames({ uploadId = randomUUID(), parent, fileName, content, headers = {} }) {
  yield { header: { uploadId, parent, fileName, headers, sizeBytes: String(content.length) } };
  for (let offset = 0; offset < content.length; offset += FRAME) {
    yield { data: { offset: String(offset), data: content.subarray(offset, offset + FRAME) } };
  }
  yield { finish: { sizeBytes: String(content.length), sha256: sha256(content) } };
}

function sha256(content) {
  return createHash('sha256').update(content).digest('hex');
}

async function download(name, range = {}) {
  let header = null;
  const parts = [];
  for await (const message of registry.receive(releases, 'DownloadReleaseFile', { name, ...range })) {
    if (header === null) {
      assert.equal(message.frame, 'file', 'the first message is the file');
      header = message.file;
    } else {
      assert.equal(message.frame, 'data');
      parts.push(message.data);
    }
  }
  return { header, content: Buffer.concat(parts) };
}

/** The failure of a call that has to fail, with a reason that the contract knows. */
async function refusal(promise, code, reason) {
  const error = await promise.then(
    () => assert.fail(`answered OK instead of ${reason}`),
    (failure) => failure,
  );
  assert.ok(error instanceof RegistryError, String(error));
  assert.deepEqual([error.code, error.info?.reason], [code, reason], error.message);
  assert.equal(error.info.domain, 'releaseregistry.dev');
  assert.ok(registry.reasons.has(reason), `${reason} stands in errors.proto`);
  return error;
}

const content = randomBytes(3 * 1024 * 1024 + 17);
let file;

const steps = {
  'who am I': async () => {
    const answer = await registry.call(tokens, 'WhoAmI', {});
    assert.ok(answer.token.scopes.includes('installation:admin'));
    assert.equal(answer.caller, 'node');
  },

  'an organization and a project': async () => {
    const made = await registry.call(organizations, 'CreateOrganization', { organization: { slug } });
    assert.equal(made.organization.name, organization);
    const { project: web } = await registry.call(organizations, 'CreateProject', {
      parent: organization,
      project: { slug: 'web', platform: 'javascript' },
    });
    assert.equal(web.name, project);
  },

  'a release with commits': async () => {
    const requestId = randomUUID();
    const commits = [commit(2), commit(1)];
    const made = await createRelease('app@1.0.0', { commits, requestId });
    assert.equal(made.outcome, 'CREATE_RELEASE_OUTCOME_CREATED');
    assert.equal(made.release.name, first);
    assert.equal(made.release.commitCount, '2');
    assert.equal(made.release.lastCommit.id, commit(2).id);
    assert.deepEqual(
      made.release.authors.map(({ email }) => email),
      ['ada@example.com', 'emile@example.com'],
    );
    assert.deepEqual(await createRelease('app@1.0.0', { commits, requestId }), made, 'repeated: the first answer');
    const again = await createRelease('app@1.0.0');
    assert.equal(again.outcome, 'CREATE_RELEASE_OUTCOME_UNCHANGED');
  },

  'three hundred commits in a stream': async () => {
    const sent = Array.from({ length: 300 }, (_, index) => commit(index + 1));
    const messages = [0, 100, 200].map((start) => ({ name: first, commits: sent.slice(start, start + 100) }));
    messages.push({ finish: true, commitCount: '300' });
    const { release } = await registry.send(releases, 'SetCommits', messages);
    assert.equal(release.commitCount, '300');
    assert.deepEqual(release.headCommits.map(({ commitId }) => commitId), [commit(300).id]);

    const listed = [];
    let pageToken = '';
    do {
      const page = await registry.call(releases, 'ListCommits', {
        parent: first,
        pageSize: 128,
        pageToken,
        view: 'COMMIT_VIEW_FULL',
      });
      listed.push(...page.commits);
      pageToken = page.nextPageToken;
    } while (pageToken);
    const byPath = (left, right) => (left.path < right.path ? -1 : 1);
    assert.deepEqual(
      listed.map(({ id, message, authorEmail, commitTime, changedFiles }) => ({
        id,
        message,
        authorEmail,
        commitTime: { seconds: commitTime.seconds, nanos: commitTime.nanos },
        changedFiles: [...changedFiles].sort(byPath),
      })),
      sent.reverse().map(({ id, message, authorEmail, commitTime, changedFiles }) => ({
        id,
        message,
        authorEmail: authorEmail.toLowerCase(),
        commitTime,
        changedFiles: [...changedFiles].sort(byPath),
      })),
    );
  },

  'a file up': async () => {
    const upload = {
      uploadId: randomUUID(),
      parent: first,
      fileName: 'dist/app.tar.gz',
      content,
      headers: { 'Content-Type': 'application/gzip' },
    };
    const made = await registry.send(releases, 'UploadReleaseFile', frames(upload));
    assert.equal(made.created, true);
    assert.equal(made.file.sha256, sha256(content));
    assert.equal(made.file.sizeBytes, String(content.length));
    const again = await registry.send(releases, 'UploadReleaseFile', frames(upload));
    assert.equal(again.file.name, made.file.name, 'the upload id names one file');
    file = made.file;
  },

  'listed and down again': async () => {
    const { files } = await registry.call(releases, 'ListReleaseFiles', { parent: first });
    assert.deepEqual(files, [file]);
    const whole = await download(file.name);
    assert.deepEqual(whole.header, file);
    assert.ok(whole.content.equals(content), 'every byte came back');
    const range = await download(file.name, { offset: '1000001', limit: '1048577' });
    assert.ok(range.content.equals(content.subarray(1_000_001, 1_000_001 + 1_048_577)), 'and every byte of a range');
  },

  'finalized, and the next one knows its predecessor': async () => {
    const { release } = await registry.call(releases, 'GetRelease', { name: first });
    assert.equal(release.fileCount, '1');
    const finalized = await registry.call(releases, 'UpdateRelease', {
      release: { name: first, etag: release.etag, releaseTime: { seconds: '1700100000' } },
      updateMask: { paths: ['release_time'] },
    });
    assert.equal(finalized.release.releaseTime.seconds, '1700100000');
    await createRelease('app@1.1.0', { commits: [commit(301)] });
    const { release: previous } = await registry.call(releases, 'GetPreviousRelease', { name: second });
    assert.equal(previous.name, first);
    const listed = await registry.call(releases, 'ListReleases', { parent: organization, projects: [project] });
    assert.deepEqual(listed.releases.map(({ name }) => name), [second, first]);
  },

  'a refusal names its reason': async () => {
    const name = `${organization}/releases/missing`;
    const error = await refusal(registry.call(releases, 'GetRelease', { name }), 'NOT_FOUND', 'RELEASE_NOT_FOUND');
    assert.equal(error.info.metadata.name, name);
    assert.ok(error.text.length > 0);
    const stale = { release: { name: first, etag: '"stale"', owner: 'ada' }, updateMask: { paths: ['owner'] } };
    await refusal(registry.call(releases, 'UpdateRelease', stale), 'ABORTED', 'ETAG_MISMATCH');
  },

  'a bad request names its fields': async () => {
    const error = await refusal(createRelease(' 1.0'), 'INVALID_ARGUMENT', 'INVALID_FIELD');
    assert.deepEqual(error.violations.map(({ field }) => field), ['release.version']);
    assert.ok(error.violations[0].description.length > 0);
  },

  'a stream that breaks its rules is refused': async () => {
    const spec = { parent: first, fileName: 'broken.bin', content: Buffer.alloc(100_000, 7) };
    const wrong = [...frames(spec)];
    wrong.at(-1).finish.sha256 = sha256('something else');
    await refusal(registry.send(releases, 'UploadReleaseFile', wrong), 'INVALID_ARGUMENT', 'DIGEST_MISMATCH');
    const headless = [...frames(spec)].slice(1);
    await refusal(registry.send(releases, 'UploadReleaseFile', headless), 'INVALID_ARGUMENT', 'FRAME_OUT_OF_ORDER');
    const { files } = await registry.call(releases, 'ListReleaseFiles', { parent: first });
    assert.equal(files.length, 1, 'and leaves nothing');
  },

  'no token, no answer': async () => {
    const stranger = new Registry({ address, token: null });
    await refusal(stranger.call(stranger.tokens, 'WhoAmI', {}), 'UNAUTHENTICATED', 'CREDENTIALS_MISSING');
    stranger.token = 'not-a-token';
    await refusal(stranger.call(stranger.tokens, 'WhoAmI', {}), 'UNAUTHENTICATED', 'CREDENTIALS_INVALID');
  },

  'who takes too many streams is told when to come again': async () => {
    const idle = [];
    const busy = new Promise((resolve, reject) => {
      for (let number = 0; number < 90; number += 1) {
        const settle = registry.settle(() => reject(new Error('an upload without a header was answered OK')), reject);
        idle.push(registry.open(releases, 'UploadReleaseFile', settle));
      }
    });
    const error = await refusal(busy, 'UNAVAILABLE', 'ORGANIZATION_BUSY');
    assert.ok(Number(error.retryInfo.retryDelay.seconds ?? 0) + (error.retryInfo.retryDelay.nanos ?? 0) > 0);
    const { release } = await registry.call(releases, 'GetRelease', { name: first });
    assert.equal(release.name, first, 'unary calls go on meanwhile');
    for (const stream of idle) stream.cancel();
  },
};

for (const [name, step] of Object.entries(steps)) {
  try {
    await step();
  } catch (error) {
    console.error(`failed: ${name}\n${error.stack}`);
    process.exit(1);
  }
  console.log(`ok: ${name}`);
}
process.exit(0);
