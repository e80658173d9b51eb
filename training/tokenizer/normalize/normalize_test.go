package normalize

import (
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"

	"tempera/training/tokenizer/charclass"
)

func TestLowerMapsRuneByRune(t *testing.T) {
	for in, want := range map[string]string{
		"ABC abc": "abc abc", "ÀÉ": "àé", "ΟΔΟΣ": "οδοσ", "İX": "i\u0307x", "\xffA\xc3": "\xffa\xc3", "日本": "日本",
	} {
		if got := Lower(in); got != want {
			t.Fatalf("%q becomes %q, want %q", in, got, want)
		}
	}
}

// TestFormsAreThoseOfUnicode compares with golang.org/x/text, on runes that the
// reference's version of Unicode knows and on less than thirty marks in a row,
// where x/text puts a joiner.
func TestFormsAreThoseOfUnicode(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	known := func() rune {
		for {
			r := rng.Int32N(0x2fa20)
			if r >= 0x80 && charclass.Is(r, charclass.Normalizable) {
				return r
			}
		}
	}
	for range 20_000 {
		var b strings.Builder
		for range 1 + rng.IntN(12) {
			switch rng.IntN(5) {
			case 0:
				b.WriteByte(byte(rng.IntN(128)))
			case 1:
				b.WriteRune(0x300 + rng.Int32N(0x50))
			case 2:
				b.WriteString([]string{"ᄀ", "ᅡ", "ᆨ", "각", "가", "\xff", "\u0dd9\u0dcf", "\U00011935\U00011930"}[rng.IntN(7)])
			default:
				b.WriteRune(known())
			}
		}
		text := b.String()
		for _, c := range []struct {
			name string
			got  form
			want norm.Form
		}{{"NFC", nfc, norm.NFC}, {"NFD", nfd, norm.NFD}, {"NFKC", nfkc, norm.NFKC}, {"NFKD", nfkd, norm.NFKD}} {
			if got, want := c.got.apply(text), c.want.String(text); got != want {
				t.Fatalf("%s of %+q is %+q, want %+q", c.name, text, got, want)
			}
		}
	}
	if marks := strings.Repeat("\u0301", 40) + "\u0323"; nfd.apply("a"+marks) != "a\u0323"+strings.Repeat("\u0301", 40) {
		t.Fatal("many marks are not sorted")
	}
}

func TestNormalizersThatCannotBeRead(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{`{"type":"Upper"}`, "type Upper is not known"},
		{`{"content":"x"}`, "it has no type"},
		{`{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"X"}]}`, "part 1: type X"},
		{`{"type":"Replace","pattern":{"Regex":"("},"content":""}`, "regular expression"},
		{`{"type":"Precompiled","precompiled_charsmap":"!"}`, "base64"},
		{`{"type":"Precompiled","precompiled_charsmap":"AAA="}`, "cut off"},
		{`{"type":"Precompiled","precompiled_charsmap":"/////w=="}`, "4294967295 bytes of 0"},
		{`[]`, "cannot unmarshal"},
	} {
		if _, err := Parse(json.RawMessage(c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Fatalf("%s gives %v, want %s", c.raw, err, c.want)
		}
	}
	if s, err := Parse(json.RawMessage("null")); s != nil || err != nil {
		t.Fatal("null is a normalizer")
	}
}

// FuzzPrecompiled: no table makes looking up leave it.
func FuzzPrecompiled(f *testing.F) {
	f.Add([]byte{8, 0, 0, 0, 0, 4, 0, 0, 0x61, 5, 0, 0, 'x', 0}, "abc")
	f.Fuzz(func(_ *testing.T, table []byte, text string) {
		if s, err := precompiled(base64.StdEncoding.EncodeToString(table)); err == nil {
			s(Text{String: text})
		}
	})
}
