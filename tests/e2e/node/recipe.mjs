// Runs a module of docs/recipes.md as a page would: calls FUNCTION(OPTIONS), reports each render(view) as
// a line of JSON, and calls methods of what it returned for lines on stdin, {"call": name, "args": […]}.
//
//   node recipe.mjs MODULE FUNCTION OPTIONS     OPTIONS: JSON; "storage" names a file to keep it in
//
// Only what a browser has and Node (18) has not is put in place; the module is run as it stands.

import { webcrypto } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

globalThis.crypto ??= webcrypto;
// `import` does not look where NODE_PATH says, `require` does.
globalThis.WebSocket ??= createRequire(import.meta.url)("ws");

const [module, name, json] = process.argv.slice(2);
const options = JSON.parse(json);
const report = (value) => process.stdout.write(JSON.stringify(value) + "\n");
process.on("unhandledRejection", (error) => report({ unhandled: String(error?.stack ?? error) }));

if (options.storage) {
  const file = options.storage;
  const read = () => { try { return JSON.parse(readFileSync(file, "utf8")); } catch { return {}; } };
  options.storage = {
    getItem: (item) => read()[item] ?? null,
    setItem: (item, value) => writeFileSync(file, JSON.stringify({ ...read(), [item]: value })),
  };
}
options.render = (view) => report({ view });
const opened = (await import(pathToFileURL(module)))[name](options);

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { call, args } = JSON.parse(line);
  opened[call](...(args ?? []));
});
