// Makes small tokenizers of every kind, trained by the reference on a few lines.
//
//	node small.js folder
//
// Those of WordPiece and Unigram come out a little otherwise in every run, so the
// answers in testdata/small are to be asked for again afterwards.
//
// They cover what the well-known tokenizers are made of, and the parts that none
// of those has.
const fs = require('fs');
const os = require('os');
const path = require('path');
const T = require('tokenizers');

const corpus = `A photo of a small red circle. Two large green squares, it's left of the blue thing!
The quick brown fox doesn't jump over the lazy dogs; they've been running since 1999.
naïve café, über Straße, Ångström, façade: el niño comió 3 piñas a las 10:45.
Привет, как дела? Всё хорошо, спасибо. Καλημέρα κόσμε. שלום עולם مرحبا بالعالم
日本語のテキスト 中文分词测试 한국어 문장입니다 ไทยภาษา हिन्दी
def main():\n    print("hello, world")  # 42 is 0x2A\n\treturn x_1 + y**2
https://example.org/path?query=value&page=2 someone@example.org 👍🏽 👨‍👩‍👧 ❤️
the the the and and of of a a in to is was he for it with as his on be at by I
photo photograph photographer photos running runner run runs circle circles circular`;

const out = process.argv[2];
const scratch = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'tokenizers-')), 'corpus.txt');
fs.writeFileSync(scratch, corpus);

const token = (content, more) => Object.assign(
  { content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }, more);

// Training knows no prefix and no suffix: every merge is repeated for the begin,
// the inside and the end of words.
function affixed(m, prefix, suffix) {
  const names = new Set();
  for (const name of Object.keys(m.vocab)) {
    for (const p of ['', prefix]) for (const s of ['', suffix]) names.add(p + name + s);
  }
  const merges = new Map();
  for (const [a, b] of m.merges) {
    for (const p of ['', prefix]) for (const s of ['', suffix]) merges.set(JSON.stringify([p + a, prefix + b + s]), [p + a, prefix + b + s]);
  }
  m.vocab = Object.fromEntries([...names].map((name, id) => [name, id]));
  m.merges = [...merges.values()];
  m.continuing_subword_prefix = prefix;
  m.end_of_word_suffix = suffix;
}

// The model after training, with these tokens put before it.
function trained(parts, model, front) {
  const base = Object.assign({ version: '1.0', added_tokens: [] }, parts, { post_processor: null, decoder: null });
  const t = T.Tokenizer.fromString(JSON.stringify(Object.assign(base, { model })));
  t.train([scratch]);
  const file = path.join(path.dirname(scratch), 'trained.json');
  t.save(file);
  const m = JSON.parse(fs.readFileSync(file, 'utf8')).model;
  if (model.affixes) affixed(m, ...model.affixes);
  if (m.type === 'Unigram') {
    m.vocab = [...front.map((f) => [f, 0]), ...m.vocab.filter(([name]) => !front.includes(name)).slice(0, 500)];
    m.unk_id = front.indexOf('<unk>');
    return m;
  }
  const names = [...front, ...Object.keys(m.vocab).sort((a, b) => m.vocab[a] - m.vocab[b]).filter((n) => !front.includes(n))];
  m.vocab = Object.fromEntries(names.map((name, id) => [name, id]));
  return m;
}

function write(name, parts, model, front, added) {
  const m = trained(parts, Object.assign({ vocab: model.type === 'Unigram' ? [['<unk>', 0]] : { '<unk>': 0 }, merges: [] }, model), front);
  const size = Array.isArray(m.vocab) ? m.vocab.length : Object.keys(m.vocab).length;
  const known = (content) => (Array.isArray(m.vocab) ? m.vocab.findIndex(([n]) => n === content) : m.vocab[content] ?? -1);
  let next = size;
  const tokens = added.map((a) => Object.assign({ id: known(a.content) >= 0 ? known(a.content) : next++ }, a));
  const ids = Object.fromEntries(tokens.map((a) => [a.content, a.id]));
  const process = typeof parts.post_processor === 'function' ? parts.post_processor(ids) : parts.post_processor;
  const file = Object.assign({ version: '1.0', truncation: null, padding: null, added_tokens: tokens.sort((a, b) => a.id - b.id) },
    { normalizer: null, pre_tokenizer: null, decoder: null }, parts, { post_processor: process ?? null, model: Object.assign(m, model.keep) });
  if (model.splits === false) file.pre_tokenizer = null; // it was for training
  fs.writeFileSync(path.join(out, name + '.tokenizer.json'), JSON.stringify(file) + '\n');
}

const template = (...names) => (ids) => ({
  type: 'TemplateProcessing',
  single: names.map((n) => (n === '$A' ? { Sequence: { id: 'A', type_id: 0 } } : { SpecialToken: { id: n, type_id: 0 } })),
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
  special_tokens: Object.fromEntries(names.filter((n) => n !== '$A').map((n) => [n, { id: n, ids: [ids[n]], tokens: [n] }])),
});

const alphabet = (() => { // the names of the bytes
  const visible = [];
  for (let b = 0; b < 256; b++) if ((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174) visible.push(b);
  const names = [];
  let n = 0;
  for (let b = 0; b < 256; b++) names.push(String.fromCharCode(visible.includes(b) ? b : 256 + n++));
  return names;
})();
const bytes = Array.from({ length: 256 }, (_, b) => '<0x' + b.toString(16).toUpperCase().padStart(2, '0') + '>');

const split = (Regex, behavior = 'Isolated', invert = false) => ({ type: 'Split', pattern: { Regex }, behavior, invert });
const raw = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
const byteLevel = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true };
const llama = (digits) => `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const sequence = (kind, ...parts) => ({ type: 'Sequence', [kind]: parts });

write('llama3', {
  pre_tokenizer: sequence('pretokenizers', split(llama('\\p{N}{1,3}')), raw),
  post_processor: (ids) => sequence('processors', byteLevel, template('<|begin_of_text|>', '$A')(ids)),
  decoder: byteLevel,
}, { type: 'BPE', keep: { ignore_merges: true } }, alphabet, [token('<|begin_of_text|>'), token('<|eot_id|>')]);

write('qwen2', {
  normalizer: { type: 'NFC' },
  pre_tokenizer: sequence('pretokenizers', split(llama('\\p{N}')), raw),
  post_processor: raw,
  decoder: raw,
}, { type: 'BPE' }, alphabet, [token('<|endoftext|>'), token('<|im_start|>'), token('<tool_call>', { special: false })]);

write('smollm', {
  pre_tokenizer: sequence('pretokenizers', { type: 'Digits', individual_digits: true }, Object.assign({}, byteLevel, { add_prefix_space: false })),
  decoder: byteLevel,
}, { type: 'BPE' }, alphabet, [token('<|endoftext|>'), token('<repo_name>')]);

write('roberta', {
  pre_tokenizer: byteLevel,
  post_processor: (ids) => ({ type: 'RobertaProcessing', sep: ['</s>', ids['</s>']], cls: ['<s>', ids['<s>']], trim_offsets: true, add_prefix_space: true }),
  decoder: byteLevel,
}, { type: 'BPE' }, ['<s>', '<pad>', '</s>', ...alphabet], [token('<s>'), token('</s>'), token('<mask>', { lstrip: true })]);

write('clip', {
  normalizer: sequence('normalizers', { type: 'NFC' }, { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' }, { type: 'Lowercase' }),
  pre_tokenizer: sequence('pretokenizers',
    split("'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+", 'Removed', true), Object.assign({}, byteLevel, { add_prefix_space: false })),
  post_processor: (ids) => ({ type: 'RobertaProcessing', sep: ['<|endoftext|>', ids['<|endoftext|>']], cls: ['<|startoftext|>', ids['<|startoftext|>']], trim_offsets: false, add_prefix_space: false }),
  decoder: byteLevel,
}, { type: 'BPE', affixes: ['', '</w>'], keep: { unk_token: '<|endoftext|>' } },
['<|startoftext|>', '<|endoftext|>', ...alphabet, ...alphabet.map((c) => c + '</w>')],
[token('<|startoftext|>', { normalized: true }), token('<|endoftext|>', { normalized: true })]);

write('llama2', {
  normalizer: sequence('normalizers', { type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }),
  post_processor: template('<s>', '$A'),
  decoder: sequence('decoders', { type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }, { type: 'Strip', content: ' ', start: 1, stop: 0 }),
  pre_tokenizer: split('▁', 'MergedWithNext'),
}, { type: 'BPE', splits: false, keep: { unk_token: '<unk>', fuse_unk: true, byte_fallback: true } }, ['<unk>', '<s>', '</s>', ...bytes],
[token('<unk>'), token('<s>'), token('</s>'), token('<pad>', { normalized: true })]);

write('mistral', {
  normalizer: sequence('normalizers', { type: 'Replace', pattern: { String: '``' }, content: '"' }, { type: 'Nmt' }, { type: 'Strip', strip_left: true, strip_right: false }),
  pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: true },
  post_processor: template('<s>', '$A'),
  decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: true },
}, { type: 'BPE', keep: { unk_token: '<unk>', fuse_unk: true, byte_fallback: true } }, ['<unk>', '<s>', '</s>', ...bytes],
[token('<unk>'), token('<s>'), token('</s>', { rstrip: true })]);

write('bert', {
  normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  post_processor: (ids) => ({ type: 'BertProcessing', sep: ['[SEP]', ids['[SEP]']], cls: ['[CLS]', ids['[CLS]']] }),
  decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
}, { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 40 },
['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'], ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].map((n) => token(n)));

// A double-array trie as SentencePiece compiles its replacements into.
function charsmap(replacements) {
  let texts = '';
  const keys = Object.keys(replacements).map((k) => {
    const at = Buffer.byteLength(texts);
    texts += replacements[k] + '\0';
    return { key: [...Buffer.from(k), 0], at };
  }).sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
  const units = new Array(4096).fill(0);
  const used = new Set([0]);
  const bases = new Set([0]); // no two nodes share one, or each would have the other's children
  const place = (unit, low, high, depth) => {
    const labels = [];
    for (let i = low; i < high; i++) if (!labels.length || labels[labels.length - 1].c !== keys[i].key[depth]) labels.push({ c: keys[i].key[depth], from: i });
    let base = 1;
    while (bases.has(base) || labels.some(({ c }) => used.has(base ^ c))) base++;
    bases.add(base);
    const leaf = labels[0].c === 0 ? 1 << 8 : 0;
    units[unit] |= leaf | ((unit ^ base) << 10);
    labels.forEach(({ c }) => used.add(base ^ c));
    labels.forEach(({ c, from }, i) => {
      const to = i + 1 < labels.length ? labels[i + 1].from : high;
      if (c === 0) units[base ^ c] = (keys[from].at | (1 << 31)) >>> 0;
      else { units[base ^ c] = c; place(base ^ c, from, to, depth + 1); }
    });
  };
  place(0, 0, keys.length, 0);
  const size = Math.max(...used) + 1;
  const data = Buffer.alloc(4 + 4 * 1024 * Math.ceil(size / 1024));
  data.writeUInt32LE(data.length - 4);
  for (let i = 0; i < size; i++) data.writeUInt32LE(units[i] >>> 0, 4 + 4 * i);
  return Buffer.concat([data, Buffer.from(texts)]).toString('base64');
}

write('t5', {
  normalizer: { type: 'Precompiled', precompiled_charsmap: charsmap({ '\t': ' ', '\n': ' ', '\u00a0': ' ', '\u3000': ' ', 'ﬁ': 'fi', '①': '1', '½': '1⁄2', 'e\u0301': 'é', 'Å': 'Å', '\u200b': '', '\ufeff': '', 'Ａ': 'A' }) },
  pre_tokenizer: sequence('pretokenizers', { type: 'WhitespaceSplit' }, { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true }),
  post_processor: template('$A', '</s>'),
  decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
}, { type: 'Unigram' }, ['<pad>', '</s>', '<unk>'], [token('<pad>'), token('</s>'), token('<unk>'), token('<extra_id_0>')]);

write('albert', {
  normalizer: sequence('normalizers', { type: 'Replace', pattern: { String: '``' }, content: '"' }, { type: 'NFKD' }, { type: 'StripAccents' },
    { type: 'Lowercase' }, { type: 'Nmt' }, { type: 'Strip', strip_left: true, strip_right: true }, { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' }),
  pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  post_processor: template('[CLS]', '$A', '[SEP]'),
  decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
}, { type: 'Unigram', keep: { byte_fallback: true } }, ['<pad>', '<unk>', '[CLS]', '[SEP]', ...bytes],
[token('<pad>'), token('<unk>'), token('[CLS]'), token('[SEP]'), token('[MASK]', { lstrip: true })]);

write('odd', { // whatever the others have not
  normalizer: sequence('normalizers', { type: 'NFKC' }, { type: 'BertNormalizer', clean_text: false, handle_chinese_chars: true, strip_accents: false, lowercase: false }),
  pre_tokenizer: sequence('pretokenizers', { type: 'Whitespace' }, { type: 'Punctuation', behavior: 'MergedWithPrevious' }, { type: 'Digits', individual_digits: false },
    split('[aeiou]+', 'Contiguous'), split('x', 'Removed'), { type: 'FixedLength', length: 7 }),
  post_processor: template('[CLS]', '$A', '[SEP]'),
  decoder: { type: 'BPEDecoder', suffix: '</w>' },
}, { type: 'BPE', affixes: ['##', '</w>'], keep: { unk_token: '<unk>', fuse_unk: false } }, ['<unk>'],
[token('[CLS]'), token('[SEP]'), token('photo', { special: false, single_word: true, normalized: true }), token('①②', { normalized: true }),
  token('<l>', { lstrip: true }), token('<r>', { rstrip: true, special: false }), token('<b>', { lstrip: true, rstrip: true, normalized: true })]);

write('words', {
  normalizer: sequence('normalizers', { type: 'NFD' }, { type: 'Lowercase' }),
  pre_tokenizer: sequence('pretokenizers', { type: 'CharDelimiterSplit', delimiter: ' ' }, { type: 'Punctuation' }),
  decoder: null,
}, { type: 'WordLevel', unk_token: '<unk>' }, ['<unk>'], [token('<unk>'), token('<s>', { special: false, normalized: true })]);
