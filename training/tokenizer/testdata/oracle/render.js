// Renders chat templates with Hugging Face's own library for JavaScript.
//
//	node render.js < questions.ndjson > answers.ndjson
//
// A line of the input is {template, variables}, one of the output {text} or {error}.
const fs = require('fs');
const { Template } = require('@huggingface/jinja');

for (const line of fs.readFileSync(0, 'utf8').split('\n').filter(Boolean)) {
  const { template, variables } = JSON.parse(line);
  let answer;
  try {
    answer = { text: new Template(template).render(variables) };
  } catch (e) {
    answer = { error: String(e.message || e) };
  }
  fs.writeSync(1, JSON.stringify(answer) + '\n');
}
