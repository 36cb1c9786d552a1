// Makes static/site.css from frontend/site.css: `npm run build`.
//
// Tailwind is shown the class names written in class="…" in the templates and in Python, nothing else, so that the result
// follows from frontend/site.css, package-lock.json and that list alone and a changed sentence never makes it stale.
// tests/test_frontend_build.py reads the same list by the same two expressions: change both together.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const IN_TEMPLATES = /class="((?:\{%.*?%\}|\{\{.*?\}\}|[^"])*)"/g;
const IN_PYTHON = /class["']?[ ]*[:=][ ]*"([^"]*)"/g;
const BETWEEN = /[ \t\r\n\f"']+|\{%|%\}|\{\{|\}\}/;

const root = new URL("..", import.meta.url).pathname;
const at = (...parts) => join(root, ...parts);
const sha256 = (...texts) => texts.reduce((hash, text) => hash.update(text), createHash("sha256")).digest("hex");

function classNames(folder, ending, pattern) {
  return readdirSync(at(folder), { recursive: true })
    .filter((name) => name.endsWith(ending))
    .flatMap((name) => [...readFileSync(at(folder, name), "utf8").matchAll(pattern)])
    .flatMap((match) => match[1].split(BETWEEN));
}

const found = new Set([...classNames("templates", ".html", IN_TEMPLATES), ...classNames("generations", ".py", IN_PYTHON)]);
found.delete("");
const classes = [...found].sort().join("\n") + "\n";
writeFileSync(at("frontend", "classes.txt"), classes);

const compiled = at("static", "site.css.new");
const tailwind = at("node_modules", "@tailwindcss", "cli", "dist", "index.mjs");
execFileSync(process.execPath, [tailwind, "-i", at("frontend", "site.css"), "-o", compiled, "--minify"], { cwd: root, stdio: "inherit" });
const css = readFileSync(compiled, "utf8").trim() + "\n";
rmSync(compiled);

const sources = sha256(readFileSync(at("frontend", "site.css")), readFileSync(at("package-lock.json")), classes);
writeFileSync(at("static", "site.css"), `/* sources ${sources} compiled ${sha256(css)} */\n${css}`);
console.log(`static/site.css: ${found.size} class names, ${css.length} characters`);
