// node plain.mjs SOURCE OUT: checks the types of the project in SOURCE, and writes its files as JavaScript to OUT.
// Types become blanks, and files keep their names: where a trap says `rule.ts:12:3`, that is where it was.

import { cpSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { blankSourceFile } from "ts-blank-space";
import ts from "typescript";

const [source, out] = process.argv.slice(2).map((path) => resolve(path));
const sys = ts.sys;

function refuse(problems) {
  const host = { getCurrentDirectory: () => source, getCanonicalFileName: (name) => name, getNewLine: () => "\n" };
  const format = process.stderr.isTTY ? ts.formatDiagnosticsWithColorAndContext : ts.formatDiagnostics;
  process.stderr.write(format(problems, host));
  process.exit(1);
}

// Whatever tsconfig.json says: what is not plain JavaScript once its types are blanks can't be built.
const needed = {
  allowImportingTsExtensions: true,
  erasableSyntaxOnly: true,
  noEmit: true,
  verbatimModuleSyntax: true,
};
const host = { ...sys, onUnRecoverableConfigFileDiagnostic: (problem) => refuse([problem]) };
const config = ts.getParsedCommandLineOfConfigFile(join(source, "tsconfig.json"), needed, host);
const rule = join(source, "rule.ts");
const program = ts.createProgram([...new Set([rule, ...config.fileNames])], config.options);
const problems = [...config.errors, ...ts.getPreEmitDiagnostics(program)];
if (problems.some(({ category }) => category === ts.DiagnosticCategory.Error)) refuse(problems);

/** The text of a file with imports of `./x` and `./x.js` as `./x.ts`, where that is the file. */
function withNames(file, text) {
  let at = 0;
  const parts = [];
  for (const { fileName: name, pos, end } of ts.preProcessFile(text).importedFiles) {
    const found = ts.resolveModuleName(name, file.fileName, config.options, sys).resolvedModule?.resolvedFileName;
    if (!name.startsWith(".") || !found || found.endsWith(".d.ts")) continue;
    const path = relative(dirname(file.fileName), found);
    // The quotes stay.
    parts.push(text.slice(at, pos + 1), path.startsWith(".") ? path : `./${path}`);
    at = end + 1;
  }
  return parts.join("") + text.slice(at);
}

cpSync(source, out, { recursive: true, filter: (path) => path.endsWith(".js") || statSync(path).isDirectory() });
for (const file of program.getSourceFiles()) {
  const path = relative(source, file.fileName);
  if (path.startsWith("..") || file.isDeclarationFile || path.endsWith(".js")) continue;
  writeFileSync(join(out, path), withNames(file, blankSourceFile(file)));
}
