package charclass

import (
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		name string
		r    rune
		want Class
	}{
		{"a letter", 'é', Letter | Word | Normalizable},
		{"a digit", '7', Number | Numeric | Word},
		{"a letter newer than Go's tables", 0x105c0, Letter | Word},
		{"an accent", 0x301, Word | Mark | Nonspacing | Normalizable},
		{"a space", ' ', Space},
		{"a joiner", 0x200d, Word | Other},
		{"an ASCII sign", '$', Punct},
		{"no rune", -1, 0},
		{"past the last rune", utf8.MaxRune + 1, 0},
	} {
		if got := Of(c.r); got != c.want {
			t.Fatalf("%s: %q has %b, want %b", c.name, c.r, got, c.want)
		}
	}
}

// TestTablesHoldWhatUnicodeHadLongAgo compares with Go's tables where no version
// differs: the Latin, Greek and Cyrillic blocks.
func TestTablesHoldWhatUnicodeHadLongAgo(t *testing.T) {
	for r := range rune(0x500) {
		for _, c := range []struct {
			class Class
			is    bool
		}{
			{Letter, unicode.IsLetter(r)},
			{Number, unicode.IsNumber(r)},
			{Numeric, unicode.IsNumber(r)},
			{Space, unicode.IsSpace(r)},
			{Mark, unicode.IsMark(r)},
		} {
			if Is(r, c.class) != c.is {
				t.Fatalf("%U: %b is %v", r, c.class, !c.is)
			}
		}
		if r != 'İ' && Lower(r) != unicode.ToLower(r) {
			t.Fatalf("%U becomes %U", r, Lower(r))
		}
	}
}

func TestMissing(t *testing.T) {
	for _, p := range []string{"L", "Lu", "Nd", "Han"} {
		for _, r := range Missing(p) {
			if r[0] > r[1] || unicode.Is(unicode.L, r[0]) && p == "L" {
				t.Fatalf("%s misses %U", p, r)
			}
		}
	}
	if got := Missing("Greek"); got != nil {
		t.Fatalf("got %v for a property without a table", got)
	}
}
