package jinja

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// variablesJSON are what the tests' templates see.
const variablesJSON = `{
		"messages": [
			{"role": "system", "content": " Be brief. "},
			{"role": "user", "content": "1 < 2 & \"é\""},
			{"role": "assistant", "content": "yes"}
		],
		"tools": [{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": [1.0, 2.5, null, true], "e": {}}}}],
		"word": "tEst word", "n": 7, "x": 2.5, "none_value": null, "yes": true, "empty": [], "bos_token": "<s>"
	}`

func variables(t testing.TB) map[string]any {
	t.Helper()
	v, err := FromJSON([]byte(variablesJSON))
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]any{}
	for _, k := range v.(*Dict).keys {
		vars[k.(string)] = v.(*Dict).values[k]
	}
	return vars
}

func render(t testing.TB, source string) (string, error) {
	t.Helper()
	tmpl, err := Parse(source)
	if err != nil {
		return "", err
	}
	out, err := tmpl.Render(variables(t), Limits{})
	return out.Text, err
}

// language are templates and what they give, Jinja's word for which TestTemplatesAgreeWithTheReference takes.
func language() []struct{ name, template, want string } {
	return []struct{ name, template, want string }{
		{"text and values", "a{{ n }}b{{ word }}", "a7btEst word"},
		{"None, booleans and floats print as in Python", "{{ none }} {{ yes }} {{ 1.0 }} {{ 1e20 }} {{ 0.1 + 0.2 }}", "None True 1.0 1e+20 0.30000000000000004"},
		{"what is undefined prints as nothing", "[{{ nothing }}{{ messages[9] }}{{ messages[0].nothing }}]", "[]"},
		{"lists print as in Python", `{{ [1, 'a', "it's", None, {'k': 1.5}, (1,)] }}`, `[1, 'a', "it's", None, {'k': 1.5}, (1,)]`},
		{"the newline after a block goes", "{% if yes %}\nx\n{% endif %}\ny", "x\ny"},
		{"blanks before a block at a line's start go", "a\n  {% if yes %}x{% endif %}\n b", "a\nx b"},
		{"blanks before a block inside a line stay", "a  {% if yes %}x{% endif %}", "a  x"},
		{"blanks before a value stay", "a\n  {{ n }}", "a\n  7"},
		{"a minus takes all white space", "a \n {%- if yes -%} \n x \n {%- endif -%} \n b", "axb"},
		{"a plus takes none", "a\n  {%+ if yes %}x{% endif +%}\nb", "a\n  x\nb"},
		{"comments trim as blocks do", "a\n {# c #}\nb{#- d -#} \n e", "a\nbe"},
		{"the last newline goes", "a\n\n", "a\n"},
		{"raw is not read", "{% raw %}{{ n }}{% if %}{% endraw %}!", "{{ n }}{% if %}!"},
		{"loops know where they are", "{% for m in messages %}{{ loop.index }}/{{ loop.length }}{% if loop.first %}F{% endif %}{% if loop.last %}L{% endif %}{{ loop.revindex0 }} {% endfor %}", "1/3F2 2/31 3/3L0 "},
		{"loops look back and ahead", "{% for i in range(3) %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem if loop.nextitem is defined }} {% endfor %}", "<0>1 0<1>2 1<2> "},
		{"a loop filters, unpacks and has an else", "{% for k, v in {'a': 1, 'b': 2}.items() if v > 1 %}{{ k }}{% else %}none{% endfor %}{% for x in empty %}{% else %}none{% endfor %}", "bnone"},
		{"loops break and continue", "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 4 %}{% break %}{% endif %}{{ i }}{% endfor %}", "023"},
		{"what a loop sets ends with the round", "{% set a = 1 %}{% for i in range(2) %}{% set a = a + 1 %}{{ a }}{% endfor %}{{ a }}", "221"},
		{"a namespace outlives the loop", "{% set ns = namespace(a=1) %}{% for i in range(2) %}{% set ns.a = ns.a + 1 %}{% endfor %}{{ ns.a }}", "3"},
		{"if opens no scope", "{% if yes %}{% set a = 5 %}{% endif %}{{ a }}", "5"},
		{"operators bind as in Jinja", "{{ 2 + 3 * 4 ** 2 // 5 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 'a' ~ (1 + 2) ~ -1|abs }} {{ not 1 == 2 }} {{ 1 < 2 < 3 }} {{ 'a' * 3 }}", "11 -4 2 3.5 a31 True True aaa"},
		{"filters bind tighter than operators", "{{ 'a' + 'b'|upper }} {{ -3|abs }} {{ 1 + 2 is odd }}", "aB 3 1"},
		{"and, or return operands", "{{ '' or 'x' }}{{ 'a' and 'b' }}{{ 0 and 1 }}", "xb0"},
		{"conditions chain", "{{ 'a' if n == 1 else 'b' if n == 2 else 'c' }}{{ 'x' if false }}", "c"},
		{"slices are Python's", "{{ messages[1:]|length }}{{ word[::-1] }}{{ word[-4:] }}{{ [1,2,3,4][::2] }}{{ messages[-1]['role'] }}", "2drow tsEtword[1, 3]assistant"},
		{"in finds texts, items and keys", "{{ 'st' in word }}{{ 3 in [1, 3] }}{{ 'role' in messages[0] }}{{ 'x' not in word }}", "TrueTrueTrueTrue"},
		{"tests", "{{ x is defined }}{{ q is not defined }}{{ none_value is none }}{{ word is string }}{{ messages is sequence }}{{ messages[0] is mapping }}{{ n is divisibleby 7 }}{{ n is number }}{{ yes is boolean }}{{ word is iterable }}{{ n is even }}", "TrueTrueTrueTrueTrueTrueTrueTrueTrueTrueFalse"},
		{"methods of texts", "{{ word.upper() }}|{{ ' a '.strip() }}|{{ 'a,b,,c'.split(',') }}|{{ 'a b  c'.split() }}|{{ 'a-b-c'.split('-', 1)[-1] }}|{{ 'xax'.strip('x') }}|{{ word.startswith('tE') }}|{{ 'ab'.replace('a', 'c') }}|{{ word.title() }}|{{ word.find('s') }}|{{ 'a.b.c'.rsplit('.', 1) }}", "TEST WORD|a|['a', 'b', '', 'c']|['a', 'b', 'c']|b-c|a|True|cb|Test Word|2|['a.b', 'c']"},
		{"methods of dictionaries hide keys", "{{ messages[0].get('role') }}{{ messages[0].get('q', 'd') }}{{ {'items': 1}['items'] }}{{ messages[0].keys()|list }}", "systemd1['role', 'content']"},
		{"filters", "{{ ' a '|trim }}{{ word|capitalize }}{{ [3,1,2]|sort }}{{ [1,2]|join('-') }}{{ messages|map(attribute='role')|join(',') }}{{ messages|selectattr('role', 'equalto', 'user')|list|length }}{{ q|default('d') }}{{ ''|default('e', true) }}{{ '3'|int + 1 }}{{ [1,1,2]|unique|list }}{{ 2.5|round|int }}{{ [[1,2],[3]]|map('length')|list }}", "aTest word[1, 2, 3]1-2system,user,assistant1de4[1, 2]2[2, 1]"},
		{"indent", "{{ 'a\nb\n\nc'|indent(2) }}|{{ 'a\nb'|indent(1, true) }}", "a\n  b\n\n  c| a\n b"},
		{"tojson keeps the order of keys and escapes nothing", "{{ tools[0]|tojson }}", `{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": [1.0, 2.5, null, true], "e": {}}}}`},
		{"tojson of texts", "{{ messages[1].content|tojson }}", `"1 < 2 & \"é\""`},
		{"tojson indents as Python does", "{{ {'b': [1, {}], 'a': 'x'}|tojson(indent=2) }}", "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": \"x\"\n}"},
		{"macros have defaults and see what is around them", "{% set a = 'A' %}{% macro m(x, y='Y') %}{{ a }}{{ x }}{{ y }}{% endmacro %}{{ m(1) }}{{ m(1, y=2) }}", "A1YA12"},
		{"macros call themselves", "{% macro down(n) %}{{ n }}{% if n > 0 %}{{ down(n - 1) }}{% endif %}{% endmacro %}{{ down(3) }}", "3210"},
		{"call gives a macro a body", "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}x{% endcall %}", "<x>"},
		{"set takes a body, names and filters", "{% set a %}x{{ n }}{% endset %}{% set b, c = 1, 2 %}{% set d | upper %}q{% endset %}{{ a }}{{ b }}{{ c }}{{ d }}", "x712Q"},
		{"filter blocks and with", "{% filter upper %}a{{ word }}{% endfilter %}{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}", "ATEST WORD3"},
		{"strings have Python's escapes", `{{ 'a\n\x41\u00e9\'' "b" }}`, "a\nAé'b"},
		{"brackets in strings end nothing", "{{ '}}' }}{{ {'a': {'b': 1}}['a']['b'] }}", "}}1"},
		{"a question after a value", "{{ 1 if tools is not none and tools|length > 0 else 2 }}", "1"},
	}
}

func TestRender(t *testing.T) {
	for _, c := range language() {
		t.Run(c.name, func(t *testing.T) {
			got, err := render(t, c.template)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("%s\ngives %q\nwant  %q", c.template, got, c.want)
			}
		})
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	for _, c := range []struct {
		name, template, want string
	}{
		{"a template refuses its input", "a\n{% if yes %}\n{{ raise_exception('roles must alternate') }}{% endif %}", "template line 3: roles must alternate"},
		{"a text and a number", "\n{{ 'a' + 1 }}", `template line 2: can only concatenate str (not "int") to str`},
		{"an attribute of what is undefined", "{% for m in messages %}\n{{ m.x.y }}{% endfor %}", "template line 2: 'dict object' has no attribute 'x'"},
		{"calling what is not there", "\n\n{{ strftime_now('%d') }}", "template line 3: 'strftime_now' is undefined"},
		{"an unknown filter", "\n{{ n|nofilter }}", `template line 2: there is no filter "nofilter"`},
		{"an unknown test", "{{ n is odds }}", `template line 1: there is no test "odds"`},
		{"an unknown tag", "{% include 'x' %}", `template line 1: the tag "include" is not supported`},
		{"a block that never ends", "\n{% if yes %}\nx", "template line 2: a block begins here and never ends: endif is missing"},
		{"an end without a begin", "{% endif %}", `template line 1: the tag "endif" is not supported`},
		{"a tag that is not closed", "x\n{{ n ", "template line 2: {{ is not closed"},
		{"a string that is not closed", "{{ 'a }}", "template line 1: a string is not closed"},
		{"the sandbox forbids changes", "{{ messages.append(1) }}", "template line 1: 'append' of a 'list' is unsafe: templates must not change what they are given"},
		{"a loop over a number", "\n{% for i in n %}{% endfor %}", "template line 2: 'int' object is not iterable"},
		{"division by nothing", "{{ 1 // 0 }}", "template line 1: integer division or modulo by zero"},
		{"too many arguments", "{% macro m(a) %}{% endmacro %}\n{{ m(1, 2) }}", "template line 2: macro 'm' takes not more than 1 argument(s)"},
		{"items of a text", "{{ word|items }}", "template line 1: items: Can only get item pairs from a mapping."},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := render(t, c.template)
			var e *Error
			if !errors.As(err, &e) || err.Error() != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if e.Raised != strings.Contains(c.template, "raise_exception") {
				t.Errorf("raised is %v", e.Raised)
			}
		})
	}
}

// What would not end, or not fit, is an error within moments.
func TestHostileTemplatesAreStopped(t *testing.T) {
	for _, c := range []struct{ name, template, want string }{
		{"loops in loops", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "steps"},
		{"a long range", "{{ range(10 ** 15) }}", "range too big"},
		{"endless recursion", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "deep"},
		{"doubling", "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}", "bytes"},
		{"a repeated text", "{{ 'x' * 10 ** 12 }}", "bytes"},
		{"a long replacement", "{% set s = 'x' * 1000000 %}{{ s|replace('x', s) }}", "bytes"},
		{"much output", "{% for a in range(99999) %}{{ 'x' * 10000 }}{% endfor %}", "bytes"},
		{"lists that grow", "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = ns.l + ns.l %}{% endfor %}", "bytes"},
		{"deep brackets", "{{ " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000) + " }}", "deep"},
		{"deep blocks", strings.Repeat("{% if true %}", 100_000), "deep"},
		{"many signs", "{{ " + strings.Repeat("- ", 100_000) + "1 }}", "deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			_, err := render(t, c.template)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want something about %q", err, c.want)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	}
}

func TestGenerationIsMarked(t *testing.T) {
	tmpl, err := Parse("{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}{% generation %}{{ m.content }}!{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	out, err := tmpl.Render(variables(t), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if !tmpl.Generates() || len(out.Generated) != 1 {
		t.Fatalf("generated are %v", out.Generated)
	}
	if g := out.Generated[0]; out.Text[g.From:g.To] != "yes!" {
		t.Errorf("marked is %q of %q", out.Text[g.From:g.To], out.Text)
	}
	if _, err := Parse("{% macro m() %}{% generation %}{% endgeneration %}{% endmacro %}"); err == nil {
		t.Error("a generation in a macro is taken")
	}
}

func TestDates(t *testing.T) {
	tmpl, err := Parse("{{ strftime_now('%d %b %Y, %A %H:%M%%') if strftime_now is defined else 'never' }}")
	if err != nil {
		t.Fatal(err)
	}
	out, err := tmpl.Render(map[string]any{"strftime_now": Date(time.Date(2024, 7, 6, 5, 4, 0, 0, time.UTC))}, Limits{})
	if err != nil || out.Text != "06 Jul 2024, Saturday 05:04%" {
		t.Errorf("got %q, %v", out.Text, err)
	}
	if out, err = tmpl.Render(nil, Limits{}); err != nil || out.Text != "never" {
		t.Errorf("got %q, %v", out.Text, err)
	}
}

// Templates are hostile at worst: whatever the text, there is a result or an *Error.
func FuzzRender(f *testing.F) {
	for _, s := range []string{
		"{% for m in messages %}{{ m['role'] + ':' + m.content|trim }}{% endfor %}", "{%- set ns = namespace(a=[]) -%}{% macro m(x) %}{{ x[1:]|tojson(indent=2) }}{% endmacro %}{{ m(tools) }}",
		"{% raw %}{% endraw %}", "{{ 'a' if yes else -1 // 2 ** 3 }}", "{# x -#}\n {%+ if n is not none and word in messages %}{% endif +%}", "{% generation %}{% endgeneration %}",
		"{{ word.split('x', 2)|map('upper')|join(',')|indent(3) }}", "{% call(a) b(c) %}{% endcall %}{% filter upper %}{% endfilter %}{% with a=1 %}{% endwith %}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		tmpl, err := Parse(source)
		var e *Error
		if err != nil {
			if !errors.As(err, &e) {
				t.Fatalf("%q: %v is no *Error", source, err)
			}
			return
		}
		if _, err := tmpl.Render(variables(t), Limits{Steps: 10_000, Bytes: 1 << 20, Depth: 50}); err != nil && !errors.As(err, &e) {
			t.Fatalf("%q: %v is no *Error", source, err)
		}
	})
}
