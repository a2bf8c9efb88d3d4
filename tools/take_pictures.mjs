// `node take_pictures.mjs TOOLS CHROMIUM SHOTS` takes pictures of pages; SHOTS is JSON, a list of
// {url, out, width, height, until, script}: a condition to wait for, and what to do before the picture is taken.
import { createRequire } from "module";

const [tools, executablePath, shots] = process.argv.slice(2);
const { chromium } = createRequire(`${tools}/`)("playwright-core");
const browser = await chromium.launch({ executablePath, args: ["--headless", "--no-sandbox", "--disable-gpu",
  "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"] });
for (const { url, out, width, height, until, script } of JSON.parse(shots)) {
  const tab = await browser.newPage({ viewport: { width, height } });
  await tab.goto(url);
  await tab.waitForFunction(until, null, { timeout: 60000 });
  await tab.evaluate(script);
  await tab.waitForTimeout(1500);
  await tab.screenshot({ path: out });
  await tab.close();
}
await browser.close();
