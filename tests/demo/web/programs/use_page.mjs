// `node use_page.mjs TOOLS CHROMIUM ADDRESS OUT SHORT LONG WRONG` uses the page as two people do, and prints JSON:
// what each saw, every request that was made, and messages of the console. Pictures go to OUT.
import { createRequire } from "module";

const [tools, executablePath, address, out, short, long, wrong] = process.argv.slice(2);
const { chromium } = createRequire(`${tools}/`)("playwright-core");
const browser = await chromium.launch({ executablePath, args: ["--headless", "--no-sandbox", "--disable-gpu",
  "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"] });
const found = { messages: [], requests: [], progress: [] };

async function open() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const tab = await context.newPage();
  tab.on("console", (message) => found.messages.push(`${message.type()}: ${message.text()}`));
  tab.on("pageerror", (error) => found.messages.push(`error: ${error.message}`));
  tab.on("request", (request) => { if (!/^(blob|data):/.test(request.url())) found.requests.push(request.url()); });
  await tab.goto(address);
  await tab.locator("input[type=file]").waitFor({ state: "attached" });
  return tab;
}
const picture = (tab, name) => tab.screenshot({ path: `${out}/${name}.png`, fullPage: true });
const send = (tab, ...files) => tab.locator("input[type=file]").setInputFiles(files);
const state = (tab) => tab.locator(".state:not([role=alert])").first().textContent({ timeout: 60000 });
const says = (tab, text) => tab.locator(".state", { hasText: text }).first().waitFor({ timeout: 120000 });
const choose = (tab, name) => tab.locator("label", { hasText: name }).locator("input[type=radio]").check();

const one = await open(), two = await open();
await picture(one, "empty");
await send(one, wrong);
await one.locator("[role=alert]").waitFor({ timeout: 60000 });
found.refused = await one.locator("[role=alert]").allTextContents();
await picture(one, "wrong");

await send(one, short, long);
await one.locator("label", { hasText: "long" }).waitFor({ timeout: 60000 });
await choose(one, "short");
while (!(await one.locator("iframe").count())) {
  found.progress.push(await state(one));
  if (found.progress.length === 20) await picture(one, "running");
  await one.waitForTimeout(300);
}
found.done = await state(one);
const frame = await (await one.locator("iframe").elementHandle()).contentFrame();
await frame.waitForFunction("hasVideo && video.readyState >= 2", { timeout: 60000 });
found.figures = await frame.evaluate(() => CLIP.people.length);
await one.waitForTimeout(500);
await picture(one, "wide");
found.links = await one.locator(".files a").allTextContents();
const whole = await one.locator("a.all").getAttribute("href");
const reply = await one.request.get(new URL(whole, address).href);
found.zip = [reply.status(), (await reply.body()).subarray(0, 2).toString()];
await one.setViewportSize({ width: 390, height: 844 });
await one.waitForTimeout(500);
found.phone_width = await one.evaluate(() => document.documentElement.scrollWidth);
await picture(one, "phone");

await send(two, short);
await says(two, "waits");
found.waiting = await state(two);
await picture(two, "waiting");
await choose(one, "long");
await one.getByRole("button", { name: "Cancel" }).click();
await says(one, "cancelled");
found.cancelled = await state(one);
await picture(one, "cancelled");
await two.locator("iframe").waitFor({ timeout: 120000 });
found.second = await state(two);
found.strangers = await two.locator("input[type=radio]").count();

await one.reload();
await one.locator("input[type=radio]").first().waitFor({ timeout: 20000 });
found.after_reload = await one.locator("input[type=radio]").count();
console.log(JSON.stringify(found));
await browser.close();
