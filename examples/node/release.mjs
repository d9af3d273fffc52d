// A client of the release registry in JavaScript: it makes a release, tells its commits, uploads a file, loses the
// connection on purpose and goes on where the server was, finds the release again, and reads the file back.
//
//   REGISTRY_TOKEN=... node release.mjs app@1.0.0 path/to/file

import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { Registry, RegistryError, patiently } from './registry.mjs';

const FRAME = 256 * 1024;
const BLOCK = 2 * 1024 * 1024;
const COMMITS = 250;

const { REGISTRY_SERVER, REGISTRY_TOKEN, REGISTRY_CA, REGISTRY_ORGANIZATION, REGISTRY_PROJECT } = process.env;
const registry = new Registry({
  address: REGISTRY_SERVER || '127.0.0.1:50051',
  token: REGISTRY_TOKEN,
  ca: REGISTRY_CA,
  caller: 'node example',
});
const { releases, uploads } = registry;
const organization = `organizations/${REGISTRY_ORGANIZATION || 'acme'}`;
const project = `${organization}/projects/${REGISTRY_PROJECT || 'web'}`;
const told = (seconds, error) => console.log(`again in ${seconds} s: ${error.code} ${error.info?.reason ?? ''}`);

/** Safe to repeat, and the service config has grpc do it: the requestId says that it is the same call. */
async function createRelease(version) {
  const { release, outcome } = await registry.call(releases, 'CreateRelease', {
    parent: organization,
    release: { version, projects: [project] },
    requestId: randomUUID(),
  });
  console.log(`release: ${release.name} ${outcome.replace('CREATE_RELEASE_OUTCOME_', '')}`);
  return release.name;
}

/** Streams any number of commits. Only the finish carries them out, all or none; so it can be said again. */
async function setCommits(name) {
  function* messages() {
    for (let start = 0; start < COMMITS; start += 100) {
      const count = Math.min(100, COMMITS - start);
      yield { name, commits: Array.from({ length: count }, (_, index) => commit(start + index)) };
    }
    yield { finish: true, commitCount: COMMITS };
  }
  const { release } = await patiently(() => registry.send(releases, 'SetCommits', messages()), { told });
  console.log(`commits: ${release.commitCount}, the newest is ${release.lastCommit.id}`);
}

function commit(number) {
  return {
    id: (number + 1).toString(16).padStart(40, '0'),
    repository: 'acme/web',
    authorName: 'Ada',
    authorEmail: 'ada@example.com',
    message: `Change ${number + 1}`,
    commitTime: { seconds: 1_700_000_000 + number * 60 },
    changedFiles: [{ path: `src/${number + 1}.js`, changeType: 'CHANGE_TYPE_MODIFIED' }],
  };
}

/** Sends a file and survives cuts: the id, chosen here, names the upload wherever it goes on. */
async function upload(parent, content) {
  const header = {
    uploadId: randomUUID(),
    parent,
    fileName: 'dist/app.bin',
    headers: { 'Content-Type': 'application/octet-stream' },
    sizeBytes: content.length,
    sha256: createHash('sha256').update(content).digest('hex'),
  };
  // Refuses at once what could not be stored, and lets GetUpload know of it before the first byte.
  await registry.call(uploads, 'StartUpload', { header });
  await cutInTheMiddle(header, content);
  const { file, created } = await patiently(
    async () => {
      const from = await committedBytes(header);
      console.log(`upload: goes on from byte ${from}`);
      return registry.send(releases, 'UploadReleaseFile', frames(header, content, from));
    },
    { told },
  );
  console.log(`file: ${file.fileName} of ${file.sizeBytes} bytes, created ${created}`);
  return file;
}

async function committedBytes({ uploadId }) {
  const answer = await registry.call(uploads, 'GetUpload', { name: `${organization}/uploads/${uploadId}` });
  return Number(answer.upload.committedBytes ?? 0); // a 0 does not travel
}

function* frames(header, content, from) {
  yield { header };
  yield* data(content, from);
  yield { finish: { sizeBytes: header.sizeBytes, sha256: header.sha256 } };
}

function* data(content, from) {
  for (let offset = from; offset < content.length; offset += FRAME) {
    yield { data: { offset, data: content.subarray(offset, offset + FRAME) } };
  }
}

/** What a lost connection does: a stream that ends after half of the bytes, without a finish. */
async function cutInTheMiddle(header, content) {
  const half = content.subarray(0, content.length / 2);
  await new Promise((over) => {
    const stream = registry.open(releases, 'UploadReleaseFile', over);
    (async () => {
      stream.write({ header });
      for (const message of data(half, 0)) {
        if (!stream.write(message)) await new Promise((drained) => stream.once('drain', drained));
      }
      // Only for the show: the server puts away what came once a second, blocks of 2 MiB, and the cut is to come after.
      for (let round = 0; half.length >= BLOCK && round < 100 && (await committedBytes(header)) === 0; round += 1) {
        await new Promise((resume) => setTimeout(resume, 100));
      }
      stream.cancel();
    })().catch(() => stream.cancel()); // whatever ailed the looks will ail who goes on, and be told there
  });
  console.log(`upload: cut after ${half.length} of ${content.length} bytes`);
}

/** Reads a list page by page. */
async function find() {
  const versions = [];
  let pages = 0;
  let pageToken = '';
  do {
    const page = await registry.call(releases, 'ListReleases', {
      parent: organization,
      query: 'release.version:>=1.0 !has:deployed',
      sort: 'RELEASE_SORT_VERSION',
      pageSize: 2,
      pageToken,
    });
    versions.push(...page.releases.map(({ version }) => version));
    pages += 1;
    pageToken = page.nextPageToken;
  } while (pageToken);
  console.log(`found: ${versions.join(', ')} on ${pages} pages`);
}

/** Downloads the file: a header, then its bytes. What ends OK is right to the last byte. */
async function readBack({ name }) {
  const digest = createHash('sha256');
  let size = 0;
  for await (const message of registry.receive(releases, 'DownloadReleaseFile', { name })) {
    if (message.frame !== 'data') continue;
    digest.update(message.data);
    size += message.data.length;
  }
  console.log(`read back: ${size} bytes with SHA-256 ${digest.digest('hex')}`);
}

async function run(version, path) {
  const content = readFileSync(path);
  const release = await createRelease(version);
  await setCommits(release);
  const file = await upload(release, content);
  await find();
  // A version may not begin with a space: the server says which field is wrong, and why.
  await createRelease(` ${version}`).catch((error) => console.log(`refused: ${error.explain()}`));
  await readBack(file);
}

const [version, path] = process.argv.slice(2);
if (!path) {
  console.error('usage: node release.mjs VERSION FILE');
  process.exit(2);
}
try {
  await run(version, path);
} catch (error) {
  console.error(`failed: ${error instanceof RegistryError ? error.explain() : error.message}`);
  process.exitCode = 1;
}
registry.close();
