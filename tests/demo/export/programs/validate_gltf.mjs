// `node validate_gltf.mjs TOOLS FILE` prints the issues that Khronos' validator finds, as JSON.
import fs from "fs";
import { createRequire } from "module";

const [tools, file] = process.argv.slice(2);
const validator = createRequire(`${tools}/`)("gltf-validator");
const report = await validator.validateBytes(new Uint8Array(fs.readFileSync(file)));
console.log(JSON.stringify(report.issues));
