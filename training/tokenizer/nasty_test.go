package tokenizer

import (
	"math/rand/v2"
	"strings"
	"unicode"
	"unicode/utf8"
)

// nasty makes n texts that tokenizers get wrong. The same n and special tokens
// give the same texts. All are valid UTF-8, as the reference takes no other.
func nasty(n int, special []string) []string {
	g := nastyGenerator{rand.New(rand.NewPCG(20, 26)), special}
	texts := append([]string{}, nastyByHand...)
	for _, s := range special {
		texts = append(texts, s, " "+s+" ", "a"+s+"b", s+s, s+"\n"+s, strings.ToUpper(s), strings.ToValidUTF8(s[:len(s)-1], ""))
	}
	texts = append(
		texts, g.long(100_000, "word"), g.long(100_000, "mixed"), strings.Repeat("a", 10_000),
		strings.Repeat(" ", 5_000), strings.Repeat("\n", 3_000), strings.Repeat("é́", 2_000), strings.Repeat("日本", 2_000),
	)
	for len(texts) < n {
		texts = append(texts, g.text())
	}
	return texts[:n]
}

type nastyGenerator struct {
	rng     *rand.Rand
	special []string
}

var nastyByHand = []string{
	"", " ", "  ", "\n", "\r\n", "\t", "\x00", "\u00a0", "\u200b", "\ufeff", "\ufeffHello", "\ufffd",
	"Hello, world!", "hello world", " hello  world ", "I'm you're we've he'll she'd it's don't DON'T I'M",
	"I’m you’re we’ve he’ll she’d it’s don’t", "ʼs ＇s ′s ‘s `s 'ſ 'S 'LL 'Re 'vE", "o'clock rock'n'roll 'tis 'twas",
	"it'ſx don'ſt I'STOP we'Llama", "aaa aaaaa ooo eeeee -----=====",
	"3.14159 1,000,000 0x1F 1e-9 ½ ² Ⅷ ٣٤ १२३ 𝟘𝟙 ㉈ 12345678901234567890", "1234 12 1 123456",
	"日本語のテキスト", "中文分词测试，你好。", "한국어 텍스트", "ไทยภาษา", "العربية مع حركات مُحَمَّد", "עברית עם נִקּוּד", "हिन्दी देवनागरी क्षत्रिय",
	"👨‍👩‍👧‍👦👍🏽🏳️‍🌈🇩🇪🇫🇷", "e\u0301 é \u1e9b\u0323 ﬁ ﬀ ㎏ ｆｕｌｌ", "A\u030a\u0327 \u0344 \u0958 \u2126 \u212b", "ΑΣ ὈΔΥΣΣΕΎΣ İI ıi ǅ ß ẞ",
	"func main() {\n\tfmt.Println(\"hi\") // x\n}\n", "if (a&&b||!c) { x+=1; }", "https://example.org/a?b=c&d=%20#frag", "a@b.example",
	"\u202eright to left\u202c", "a\u0300\u0301\u0302\u0303\u0304", "\u1100\u1161\u11a8 \uac01", "x\u200dy\u200cz", "\U000e0001\U000e0067",
	"\U0010ffff\ue000\uffff", "\u0085\u2028\u2029\u3000\u1680\u180e", "  \n  \n\n  x", "a\n\n\n\nb", "a \n b", "\r\r\n\n", "\t\t\tx", "x\u00a0 \u00a0y",
	"``quoted'' text", "can not do not , . ! ? ' n't", "_under_score__ snake_case", "▁ ▁▁ a▁b", "Ġ Ċ âĢĻ", "</w> <0x0A> <0xE2> ##ing ##", "<unk> <s> </s> [UNK] [CLS]",
	"<|endoftext|> <|startoftext|> <|im_start|>user\nhi<|im_end|>", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ABCDEFghijKLMnop", "$€£¥₹ ©®™ §¶ «»‹› „“”‟", "+-*/=<>~^|\\",
}

func (g nastyGenerator) pick(from ...string) string { return from[g.rng.IntN(len(from))] }

func (g nastyGenerator) text() string {
	var b strings.Builder
	for range 1 + g.rng.IntN(8) {
		b.WriteString(g.piece())
		if g.rng.IntN(3) > 0 {
			b.WriteString(g.pick(" ", " ", " ", "", "  ", "\n", "\u00a0", "\t", "\r\n"))
		}
	}
	return b.String()
}

func (g nastyGenerator) piece() string {
	switch g.rng.IntN(16) {
	case 0:
		return g.runes(8, 0x10ffff)
	case 1:
		return g.runes(8, 0xffff)
	case 2:
		return g.runes(12, 0x2fff)
	case 3:
		return g.runes(12, 0xff)
	case 4:
		return g.marks()
	case 5:
		return g.pick("👨‍👩‍👧", "👍🏿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️‍🔥", "1️⃣", "🇯🇵", "🫠", "☺︎")
	case 6:
		return g.from([]*unicode.RangeTable{unicode.Arabic, unicode.Hebrew, unicode.Devanagari, unicode.Thai, unicode.Greek, unicode.Cyrillic, unicode.Georgian})
	case 7:
		return g.from([]*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul})
	case 8:
		return strings.Repeat(g.pick(" ", "\n", "\t", "\u00a0", "\r\n", " \n", "\u3000", "-", "=", ".", "0", "ab"), 1+g.rng.IntN(40))
	case 9:
		return g.word() + g.pick("'", "’", "ʼ", "＇", "`", "'") + g.pick("s", "t", "re", "ve", "m", "ll", "d", "S", "LL", "ſ", "x")
	case 10:
		return g.from([]*unicode.RangeTable{unicode.Nd, unicode.Nl, unicode.No}) + g.pick("", ".", ",", "e-", "/") + g.digits()
	case 11:
		return g.pick("for (int i=0;i<n;++i){", "x := map[string]int{\"a\": 1}", "SELECT * FROM t WHERE a='b'--", "</div><br/>", "#include <x.h>", "\\frac{a}{b}", "0b1010|0xFF", "a_b.c(d)[e]")
	case 12:
		return g.pick("http://", "https://www.", "ftp://") + g.word() + ".example/" + g.word() + "?" + g.word() + "=" + g.digits()
	case 13:
		if len(g.special) > 0 {
			return g.pick(g.special...)
		}
		return g.word()
	case 14:
		return g.from([]*unicode.RangeTable{unicode.P, unicode.S, unicode.Z, unicode.Cf, unicode.Cc})
	}
	return g.sentence()
}

func (g nastyGenerator) runes(most int, top int32) string {
	var b strings.Builder
	for range 1 + g.rng.IntN(most) {
		r := rune(g.rng.Int32N(top + 1))
		if utf8.ValidRune(r) {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// marks puts combining marks on letters, in any order.
func (g nastyGenerator) marks() string {
	var b strings.Builder
	for range 1 + g.rng.IntN(4) {
		b.WriteString(g.pick("a", "e", "o", "A", "ס", "क", "か", "각", "ᄀ", "ά", "ệ", "Å", "n"))
		for range g.rng.IntN(4) {
			b.WriteRune(rune(0x300 + g.rng.Int32N(0x70)))
		}
	}
	return b.String()
}

// from draws runes of one of the tables.
func (g nastyGenerator) from(tables []*unicode.RangeTable) string {
	t := tables[g.rng.IntN(len(tables))]
	var b strings.Builder
	for range 1 + g.rng.IntN(8) {
		if k := g.rng.IntN(len(t.R16) + len(t.R32)); k < len(t.R16) {
			r := t.R16[k]
			b.WriteRune(rune(r.Lo) + g.rng.Int32N(int32(r.Hi-r.Lo)/int32(r.Stride)+1)*int32(r.Stride))
		} else {
			r := t.R32[k-len(t.R16)]
			b.WriteRune(rune(r.Lo) + g.rng.Int32N(int32(r.Hi-r.Lo)/int32(r.Stride)+1)*int32(r.Stride))
		}
	}
	return strings.ToValidUTF8(b.String(), "")
}

func (g nastyGenerator) digits() string {
	var b strings.Builder
	for range g.rng.IntN(12) {
		b.WriteByte(byte('0' + g.rng.IntN(10)))
	}
	return b.String()
}

func (g nastyGenerator) word() string {
	const letters = "eeeetttaaaooiinnsshhrrdlucmfwypvbgkjqxz"
	var b strings.Builder
	for range 1 + g.rng.IntN(10) {
		b.WriteByte(letters[g.rng.IntN(len(letters))])
	}
	return g.pick(b.String(), b.String(), b.String(), strings.ToUpper(b.String()), strings.ToUpper(b.String()[:1])+b.String()[1:])
}

func (g nastyGenerator) sentence() string {
	words := make([]string, 1+g.rng.IntN(8))
	for i := range words {
		words[i] = g.pick(g.word(), g.word(), "the", "and", "of", "a photo of a", "running", "Internationalization", "naïve café", "don't")
	}
	return strings.Join(words, " ") + g.pick(".", "!", "?", ",", "...", " .", "", "…", "\n")
}

// long makes a text of about n bytes.
func (g nastyGenerator) long(n int, kind string) string {
	var b strings.Builder
	for b.Len() < n {
		if kind == "word" {
			b.WriteString(g.word() + " ")
		} else {
			b.WriteString(g.text())
		}
	}
	return strings.ToValidUTF8(b.String()[:n], "")
}
