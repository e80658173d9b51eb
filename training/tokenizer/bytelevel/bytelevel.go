// Package bytelevel names tokens of bytes as tokenizer.json does: every byte is
// a visible character, bytes that are printable in Latin-1 as themselves, the
// others as U+0100 and up in their order (GPT-2's bytes_to_unicode). A space is
// Ġ.
package bytelevel

import "strings"

// Rune is the character of each byte.
var Rune [256]rune

var byteOf = visible(&Rune)

func visible(runes *[256]rune) map[rune]byte {
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

// Name returns the name of a token that stands for bytes.
func Name(bytes string) string {
	var b strings.Builder
	for i := range len(bytes) {
		b.WriteRune(Rune[bytes[i]])
	}
	return b.String()
}

// Bytes undoes Name; ok is false for a name that stands for no bytes.
func Bytes(name string) (bytes string, ok bool) {
	var b strings.Builder
	for _, r := range name {
		c, ok := byteOf[r]
		if !ok {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}
