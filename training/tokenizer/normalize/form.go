package normalize

import (
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"tempera/training/tokenizer/charclass"
)

// form is one of Unicode's normal forms (UAX #15). The properties of runes are
// those of golang.org/x/text; its own String methods are not used, because they
// put a joiner after thirty marks, and know runes that the reference does not.
type form struct {
	compat  bool // by compatibility too
	compose bool
}

var (
	nfd  = form{}
	nfc  = form{compose: true}
	nfkd = form{compat: true}
	nfkc = form{compat: true, compose: true}
)

// mark is a rune with its combining class.
type mark struct {
	r  rune
	cc uint8
}

// apply normalizes the parts of a text that are not ASCII, each with the ASCII
// rune before it, which marks may be put to. Bytes that are no UTF-8 end a part.
func (f form) apply(text string) string {
	i := ascii(text)
	if i == len(text) {
		return text
	}
	var runes []mark
	var b strings.Builder
	b.Grow(len(text))
	rest := 0
	for i < len(text) {
		start := max(i-1, rest)
		b.WriteString(text[rest:start])
		runes = runes[:0]
		rest = start
		for rest < len(text) && (rest < i || text[rest] >= utf8.RuneSelf) {
			r, n := utf8.DecodeRuneInString(text[rest:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			runes = f.decompose(runes, r, text[rest:rest+n])
			rest += n
		}
		for _, m := range f.order(runes) {
			b.WriteRune(m.r)
		}
		if rest == i && rest < len(text) { // nothing was read but the ASCII rune
			b.WriteByte(text[rest])
			rest++
		}
		i = rest + ascii(text[rest:])
	}
	b.WriteString(text[rest:])
	return b.String()
}

// ascii returns the bytes of ASCII at the front of a text.
func ascii(text string) int {
	i := 0
	for i < len(text) && text[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// Hangul syllables are composed by arithmetic (The Unicode Standard, 3.12).
const (
	hangulBase = 0xac00
	hangulEnd  = hangulBase + 11172
	leadBase   = 0x1100
	leads      = 19
	vowelBase  = 0x1161
	vowels     = 21
	tailBase   = 0x11a7
	tails      = 28
)

// decompose appends a rune, or what it decomposes into.
func (f form) decompose(out []mark, r rune, text string) []mark {
	switch {
	case r < 0xa0 || !charclass.Is(r, charclass.Normalizable):
		return append(out, mark{r, 0})
	case r >= hangulBase && r < hangulEnd:
		s := r - hangulBase
		out = append(out, mark{leadBase + s/(vowels*tails), 0}, mark{vowelBase + s%(vowels*tails)/tails, 0})
		if tail := s % tails; tail > 0 {
			out = append(out, mark{tailBase + tail, 0})
		}
		return out
	}
	table := norm.NFD
	if f.compat {
		table = norm.NFKD
	}
	p := table.PropertiesString(text)
	decomposed := p.Decomposition()
	if decomposed == nil {
		return append(out, mark{r, p.CCC()})
	}
	for _, d := range string(decomposed) {
		var buffer [utf8.UTFMax]byte
		n := utf8.EncodeRune(buffer[:], d)
		out = append(out, mark{d, table.Properties(buffer[:n]).CCC()})
	}
	return out
}

// order sorts marks by their classes, and composes.
func (f form) order(runes []mark) []mark {
	for i := 0; i < len(runes); {
		if runes[i].cc == 0 {
			i++
			continue
		}
		end := i
		for end < len(runes) && runes[end].cc != 0 {
			end++
		}
		slices.SortStableFunc(runes[i:end], func(a, b mark) int { return int(a.cc) - int(b.cc) })
		i = end
	}
	if f.compose {
		return composeAll(runes)
	}
	return runes
}

// composeAll puts starters and the marks after them together, in place.
func composeAll(runes []mark) []mark {
	starter := -1
	last := uint8(0) // class of the rune before, of those that stay since the starter
	out := runes[:0]
	for _, m := range runes {
		if starter >= 0 && (len(out) == starter+1 || last != 0 && last < m.cc) {
			if c, ok := composePair(out[starter].r, m.r); ok {
				out[starter].r = c
				continue
			}
		}
		if m.cc == 0 {
			starter = len(out)
		}
		last = m.cc
		out = append(out, m)
	}
	return out
}

func composePair(a, b rune) (rune, bool) {
	if a >= leadBase && a < leadBase+leads && b >= vowelBase && b < vowelBase+vowels {
		return hangulBase + ((a-leadBase)*vowels+b-vowelBase)*tails, true
	}
	if a >= hangulBase && a < hangulEnd && (a-hangulBase)%tails == 0 && b > tailBase && b < tailBase+tails {
		return a + b - tailBase, true
	}
	c, ok := compositions()[[2]rune{a, b}]
	return c, ok
}

// compositions are the pairs that compose: of each rune that is its own
// composed form, the form of all but the last of its parts, and the last.
var compositions = sync.OnceValue(func() map[[2]rune]rune {
	pairs := map[[2]rune]rune{}
	for r := rune(0xa0); r <= utf8.MaxRune; r++ {
		if r >= hangulBase && r < hangulEnd || !charclass.Is(r, charclass.Normalizable) {
			continue
		}
		s := string(r)
		parts := []rune(string(norm.NFD.PropertiesString(s).Decomposition()))
		if len(parts) < 2 || norm.NFC.String(s) != s {
			continue
		}
		first := []rune(norm.NFC.String(string(parts[:len(parts)-1])))
		if len(first) == 1 {
			pairs[[2]rune{first[0], parts[len(parts)-1]}] = r
		}
	}
	return pairs
})
