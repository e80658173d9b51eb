package decode

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDecoding(t *testing.T) {
	for _, c := range []struct{ name, raw, tokens, want string }{
		{"without a decoder", `null`, "a|b", "a b"},
		{"BERT's words", `{"type":"WordPiece","prefix":"##","cleanup":true}`, "play|##ing|,|do|not", "playing, do not"},
		{"BERT's words as they are", `{"type":"WordPiece","prefix":"##","cleanup":false}`, "a|,", "a ,"},
		{"suffixes", `{"type":"BPEDecoder"}`, "lo|w</w>|er</w>", "low er"},
		{"marks for spaces", `{"type":"Metaspace","replacement":"▁"}`, "▁a|▁b▁|▁", "a b  "},
		{"stripping every token", `{"type":"Strip","content":"x","start":1,"stop":2}`, "xxaxxx|x", "xax"},
		{"stripping all as one", `{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":"x","start":1,"stop":2}]}`, "x|xa|xx|x|bx|x|x", "xaxxxbx"},
		{"fusing before something else", `{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Replace","pattern":{"String":"ab"},"content":"c"}]}`, "a|b", "c"},
		{"bytes that are text", `{"type":"ByteFallback"}`, "<0xC3>|<0xA9>|a", "éa"},
		{"bytes that are none", `{"type":"ByteFallback"}`, "<0xC3>|<0xC3>|a|<0xZZ>", "\uFFFD\uFFFDa<0xZZ>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Parse(json.RawMessage(c.raw))
			if err != nil {
				t.Fatal(err)
			}
			run := d()
			var b strings.Builder
			emit := func(s string) { b.WriteString(s) }
			for token := range strings.SplitSeq(c.tokens, "|") {
				run.Token(token, emit)
			}
			run.End(emit)
			if b.String() != c.want {
				t.Fatalf("got %q, want %q", b.String(), c.want)
			}
		})
	}
}

func TestDecodersThatCannotBeRead(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{`{"type":"CTC"}`, "type CTC is not known"},
		{`{"prefix":"a"}`, "it has no type"},
		{`{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"X"}]}`, "part 1: type X"},
		{`{"type":"Strip","content":"ab","start":1}`, "needs one character"},
		{`{"type":"Strip","content":"a","start":-1}`, "no negative number"},
		{`{"type":"Replace","content":"a"}`, "there is no pattern"},
		{`{"type":"Metaspace","replacement":""}`, "is no character"},
	} {
		if _, err := Parse(json.RawMessage(c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Fatalf("%s gives %v, want %s", c.raw, err, c.want)
		}
	}
}
