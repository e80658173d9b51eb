package tokenizer

import (
	"strings"
	"testing"
)

func TestAStreamHoldsBackWhatIsNotWhole(t *testing.T) {
	bytes := trained(t, TrainOptions{VocabSize: 300})
	llama := readTokenizer(t, "testdata/small/llama2.tokenizer.json")
	clip := readTokenizer(t, "testdata/small/odd.tokenizer.json")
	id := func(tok *Tokenizer, name string) int32 {
		id, ok := tok.ID(name)
		if !ok {
			t.Fatalf("no token %q", name)
		}
		return id
	}
	euro := bytes.Encode("€")
	for _, c := range []struct {
		name string
		tok  *Tokenizer
		ids  []int32
		want []string
	}{
		{"the bytes of a rune", bytes, append(euro, euro[0], euro[0]), []string{"", "", "€", "", "\xe2", "\xe2"}},
		{"bytes that begin nothing", bytes, []int32{euro[1], euro[0], id(bytes, "a")}, []string{"\x82", "", "\xe2a", ""}},
		{"an id of none", bytes, []int32{-1, 1 << 20}, []string{"\uFFFD", "\uFFFD", ""}},
		{"the first blank", llama, []int32{id(llama, "▁"), id(llama, "a"), id(llama, "▁")}, []string{"", "a", " ", ""}},
		{"bytes in a row, which are one text or none", llama, []int32{id(llama, "<0xC3>"), id(llama, "<0xA9>"), id(llama, "a"), id(llama, "<0xC3>")}, []string{"", "", "éa", "", "\uFFFD"}},
		{"a word, which ends only before another", clip, []int32{id(clip, "a</w>"), id(clip, "a</w>")}, []string{"", "a ", "a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.tok.DecodeStream()
			var got []string
			for _, id := range c.ids {
				got = append(got, s.Next(id))
			}
			got = append(got, s.End())
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			if all := c.tok.Decode(c.ids); all != strings.Join(c.want, "") {
				t.Fatalf("the whole is %q", all)
			}
		})
	}
}

func TestAnAddedTokenIsItsTextEvenWhereBytesAreNamed(t *testing.T) {
	tok := trained(t, TrainOptions{VocabSize: 300, Extra: []string{"«é»", "日本"}})
	const text = "a«é»b日本"
	if got := tok.Decode(tok.Encode(text)); got != text {
		t.Fatalf("got %q", got)
	}
	if got := tok.DecodePlain(tok.Encode(text)); got != "ab" {
		t.Fatalf("got %q", got)
	}
}

func TestBytesThatAreNoUTF8(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"llama3", "a\xff\xc3b"},
		{"llama2", "a\uFFFD\uFFFDb"}, // as the reference's decoder has it; the ids keep the bytes
		{"t5", "<unk>"},
	} {
		tok := readTokenizer(t, "testdata/small/"+c.file+".tokenizer.json")
		if got := tok.Decode(tok.Encode("a\xff\xc3b")); !strings.Contains(got, c.want) {
			t.Fatalf("%s gives %q", c.file, got)
		}
	}
}
