package reward

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"tempera/datagen/task"
)

type languageParams struct {
	Language string   `json:"language,omitempty"` // default en
	Words    []string `json:"words,omitempty"`    // the words of the language, in place of its script
	Answer   bool     `json:"answer,omitempty"`   // the whole text counts; else the thinking alone, where there is one
}

// scripts are the letters of languages. A language that is told from others by its script only shares a line with those.
var scripts = map[string][]*unicode.RangeTable{
	"ar": {unicode.Arabic}, "de": {unicode.Latin}, "el": {unicode.Greek}, "en": {unicode.Latin}, "es": {unicode.Latin}, "fr": {unicode.Latin}, "he": {unicode.Hebrew},
	"hi": {unicode.Devanagari}, "ja": {unicode.Han, unicode.Hiragana, unicode.Katakana}, "ko": {unicode.Hangul}, "pt": {unicode.Latin}, "ru": {unicode.Cyrillic},
	"th": {unicode.Thai}, "zh": {unicode.Han},
}

func (p languageParams) Validate() error {
	if scripts[p.Language] == nil && len(p.Words) == 0 {
		return fmt.Errorf("language is %q: use %s, or give its words", p.Language, strings.Join(slices.Sorted(maps.Keys(scripts)), ", "))
	}
	if slices.Contains(p.Words, "") {
		return errors.New("words has an empty one: remove it")
	}
	return nil
}

// language is the share of words that are of a language (DeepSeek-R1, section 2.3.2): by the script of their letters, which tells English from Chinese and
// not from French, or by a list of the words. Numbers and signs are words of every language; a text without words has 1.
func language() Kind {
	return Kind{
		Name: "language", Summary: "the share of words that are of one language",
		Open: opened(languageParams{Language: "en"}, func(p languageParams) Reward {
			known := map[string]bool{}
			for _, w := range p.Words {
				known[strings.ToLower(w)] = true
			}
			return each(func(s Sample) float64 {
				text := s.Text
				if thought, ok := task.Thinking(text); ok && !p.Answer {
					text = thought
				}
				all, own := 0, 0
				for _, word := range wordsOf(text) {
					all++
					if len(known) > 0 && known[strings.ToLower(word)] || len(known) == 0 && inScript(word, scripts[p.Language]) {
						own++
					}
				}
				if all == 0 {
					return 1
				}
				return float64(own) / float64(all)
			})
		}),
	}
}

// wordsOf are the runs of letters; every Han, Hiragana and Katakana letter is a word, since they have no spaces.
func wordsOf(text string) []string {
	var words []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			words, word = append(words, string(word)), word[:0]
		}
	}
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana):
			end()
			words = append(words, string(r))
		case unicode.IsLetter(r) || unicode.IsMark(r):
			word = append(word, r)
		default:
			end()
		}
	}
	end()
	return words
}

func inScript(word string, tables []*unicode.RangeTable) bool {
	for _, r := range word {
		if unicode.IsLetter(r) && !unicode.In(r, tables...) {
			return false
		}
	}
	return true
}
