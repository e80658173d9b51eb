// Encodes and decodes with Hugging Face's own tokenizers (the Rust library).
//
//	node oracle.js tokenizer.json < texts.ndjson > answers.ndjson
//
// A line of the input is a text as a JSON string. A line of the output is
// {ids, wrapped, text, plain}: the ids without and with the post-processor's
// tokens, and what they decode to, with and without the special tokens.
// Truncation and padding are switched off, as they are no part of a tokenizer.
const fs = require('fs');
const { Tokenizer } = require('tokenizers');

const batch = 500;

function read(path) {
  const file = JSON.parse(fs.readFileSync(path, 'utf8'));
  file.truncation = null;
  file.padding = null;
  return Tokenizer.fromString(JSON.stringify(file));
}

async function answer(tokenizer, texts) {
  const bare = (await tokenizer.encodeBatch(texts, { addSpecialTokens: false })).map((e) => e.getIds());
  const wrapped = (await tokenizer.encodeBatch(texts, { addSpecialTokens: true })).map((e) => e.getIds());
  const text = await tokenizer.decodeBatch(bare, false);
  const plain = await tokenizer.decodeBatch(wrapped, true);
  return texts.map((_, i) => JSON.stringify({ ids: bare[i], wrapped: wrapped[i], text: text[i], plain: plain[i] }));
}

(async () => {
  const tokenizer = read(process.argv[2]);
  const texts = fs.readFileSync(0, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  for (let i = 0; i < texts.length; i += batch) {
    fs.writeSync(1, (await answer(tokenizer, texts.slice(i, i + batch))).join('\n') + '\n');
  }
})();
