// Speaks to the server that Claude is told of, as Claude would: initialize, navigate, screenshot.
const { spawn } = require('child_process');
const fs = require('fs');
const { command, args, env } = JSON.parse(fs.readFileSync(process.env.HOME + '/.claude.json')).mcpServers['chrome-devtools'];
const server = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'inherit'] });
const waiting = new Map();
let rest = '', last = 0;
server.stdout.on('data', (chunk) => {
  const lines = (rest + chunk).split('\n');
  rest = lines.pop();
  for (const line of lines) {
    const message = JSON.parse(line);
    if (waiting.has(message.id)) waiting.get(message.id)(message);
  }
});
const send = (message) => server.stdin.write(JSON.stringify({ jsonrpc: '2.0', ...message }) + '\n');
const call = (method, params) => new Promise((resolve, reject) => {
  const id = ++last;
  waiting.set(id, ({ result, error }) => (error || result.isError ? reject(JSON.stringify(error || result)) : resolve(result)));
  send({ id, method, params });
});
const use = (name, args) => call('tools/call', { name, arguments: args });
(async () => {
  const hello = await call('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'test', version: '1' } });
  console.log('server is', hello.serverInfo.name);
  send({ method: 'notifications/initialized' });
  const open = () => use('new_page', { url: 'http://127.0.0.1:8123/page.html', timeout: 120000 });
  // The server gives up on a browser that takes a minute to start, and says that the next call finds it.
  const page = await open().catch(open).catch(open);
  const pages = page.content.map((c) => c.text).join('\n'); // "1: http://… [selected]", a line for each
  console.error(pages);
  console.log('server navigates', pages.includes('page.html'));
  const pageId = Number(pages.match(/(\d+): \S*page\.html/)[1]);
  const shot = (await use('take_screenshot', { format: 'png', pageId })).content.find((c) => c.type === 'image');
  const png = Buffer.from(shot.data, 'base64');
  console.log('server shoots', png.subarray(1, 4).toString(), png.length > 1000);
  server.kill();
})().catch((e) => { console.log('failed', e); server.kill(); process.exitCode = 1; });
