package tokenizer

import "strings"

// The names of tokens in tokenizer.json show every byte as a visible character:
// bytes that are printable in Latin-1 as themselves, the others as U+0100 and
// up in their order (GPT-2's bytes_to_unicode). A space is Ġ.
var (
	runeOfByte [256]rune
	byteOfRune = visibleBytes(&runeOfByte)
)

func visibleBytes(runes *[256]rune) map[rune]byte {
	bytes := make(map[rune]byte, 256)
	next := rune(256)
	for b := range rune(256) {
		r := b
		if printable := b >= '!' && b <= '~' || b >= '¡' && b <= '¬' || b >= '®' && b <= 'ÿ'; !printable {
			r = next
			next++
		}
		runes[b] = r
		bytes[r] = byte(b)
	}
	return bytes
}

// nameOfBytes returns the name of a token that stands for bytes.
func nameOfBytes(bytes string) string {
	var b strings.Builder
	for i := range len(bytes) {
		b.WriteRune(runeOfByte[bytes[i]])
	}
	return b.String()
}

// bytesOfName undoes nameOfBytes; ok is false for a name that stands for no bytes.
func bytesOfName(name string) (bytes string, ok bool) {
	var b strings.Builder
	for _, r := range name {
		c, ok := byteOfRune[r]
		if !ok {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}
