// node componentize.mjs RULE WIT WORLD OUT: a rule in JavaScript as a component that imports nothing but
// the contract: no standard streams, clocks, randomness or network, which a rule does not get.

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [sourcePath, witPath, worldName, out] = process.argv.slice(2);
try {
  const disableFeatures = ["stdio", "random", "clocks", "http", "fetch-event"];
  const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures });
  await writeFile(out, component);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
