package task

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mark is how a completion marks its answer.
type Mark string

// The marks.
const (
	Tags   Mark = "tags"   // <think>...</think><answer>...</answer>, as DeepSeek's R1-Zero was asked for
	Hash   Mark = "hash"   // a line "#### 18", as in GSM8K
	Boxed  Mark = "boxed"  // \boxed{18}, as in MATH
	Last   Mark = "last"   // the last number of the text
	Entire Mark = "entire" // the text is the answer
	Any    Mark = "any"    // the first of tags, boxed and hash that the text has, else its last number
)

var marks = []Mark{Tags, Hash, Boxed, Last, Entire, Any}

func (m Mark) known() bool { return slices.Contains(marks, m) }

func markNames() []string {
	var names []string
	for _, m := range marks {
		names = append(names, string(m))
	}
	return names
}

const (
	thinkOpen, thinkClose   = "<think>", "</think>"
	answerOpen, answerClose = "<answer>", "</answer>"
	boxedOpen               = `\boxed{`
	hashOpen                = "####"
)

// The bounds of what is read.
const (
	maxCompletion = 1 << 20 // bytes
	maxAnswer     = 1 << 12 // bytes
	maxBraces     = 64      // depth
)

// write is a completion with a trace and an answer.
func (m Mark) write(trace, answer string) string {
	lines := func(answer string) string {
		if trace == "" {
			return answer
		}
		return trace + "\n" + answer
	}
	switch m {
	case Tags:
		return thinkOpen + trace + thinkClose + answerOpen + answer + answerClose
	case Hash:
		return lines(hashOpen + " " + answer)
	case Boxed:
		return lines(boxedOpen + answer + "}")
	case Entire:
		if trace != "" {
			return trace
		}
		return answer
	case Last, Any:
	}
	return lines(answer)
}

// Thinking is what a completion has between <think> and </think>; ok is false where it has no such part, or an open end.
func Thinking(completion string) (thought string, ok bool) {
	i := strings.Index(completion, thinkOpen)
	j := strings.LastIndex(completion, thinkClose)
	if j < 0 || i > j {
		return "", false
	}
	if i < 0 { // the prompt opened it
		return completion[:j], true
	}
	return completion[i+len(thinkOpen) : j], true
}

// WellFormed tells whether a completion is <think>...</think><answer>...</answer> and nothing else but space, each tag once. A prompt may have opened
// the thinking.
func WellFormed(completion string, opened bool) bool {
	rest := completion
	if opened && !strings.HasPrefix(strings.TrimSpace(rest), thinkOpen) {
		rest = thinkOpen + rest
	}
	at := 0
	for _, tag := range []string{thinkOpen, thinkClose, answerOpen, answerClose} {
		if strings.Count(rest, tag) != 1 {
			return false
		}
		i := strings.Index(rest, tag)
		if i < at || tag != thinkClose && tag != answerClose && strings.TrimSpace(rest[at:i]) != "" {
			return false
		}
		at = i + len(tag)
	}
	return strings.TrimSpace(rest[at:]) == ""
}

// Extract finds the answer of a completion. What was thought is no answer. Where several answers are marked they must be the same, and of tags there
// must be one. fault says why there is none.
func Extract(completion string, m Mark) (answer, fault string) {
	if len(completion) > maxCompletion {
		return "", "the completion is too long to read"
	}
	text := completion
	if i := strings.LastIndex(text, thinkClose); i >= 0 {
		text = text[i+len(thinkClose):]
	}
	if strings.Contains(text, thinkOpen) {
		return "", "the thinking has no end"
	}
	if m == "" || m == Any {
		m = present(text)
	}
	switch m {
	case Tags:
		answer, fault = inTags(text)
	case Hash:
		answer, fault = onlyOne(afterHashes(text))
	case Boxed:
		answer, fault = onlyOne(inBoxes(text))
	case Last:
		if answer = lastNumber(text); answer == "" {
			fault = "there is no number"
		}
	case Entire:
		answer = text
	default:
		return "", "there is no mark " + string(m)
	}
	answer = strings.TrimSpace(answer)
	switch {
	case fault != "":
		return "", fault
	case answer == "":
		return "", "the answer is empty"
	case len(answer) > maxAnswer:
		return "", "the answer is too long"
	}
	return answer, ""
}

// present is the mark that a text has.
func present(text string) Mark {
	switch {
	case strings.Contains(text, answerOpen), strings.Contains(text, answerClose):
		return Tags
	case strings.Contains(text, boxedOpen):
		return Boxed
	case strings.Contains(text, hashOpen):
		return Hash
	}
	return Last
}

func inTags(text string) (answer, fault string) {
	i, j := strings.Index(text, answerOpen), strings.Index(text, answerClose)
	switch {
	case i < 0 || j < 0:
		return "", "there is no answer between tags"
	case strings.Count(text, answerOpen) > 1 || strings.Count(text, answerClose) > 1:
		return "", "there are several answers"
	case j < i:
		return "", "the tags are crossed"
	}
	return text[i+len(answerOpen) : j], ""
}

func onlyOne(answers []string) (answer, fault string) {
	if len(answers) == 0 {
		return "", "there is no marked answer"
	}
	for _, a := range answers[1:] {
		if strings.TrimSpace(a) != strings.TrimSpace(answers[0]) {
			return "", "there are several answers"
		}
	}
	return answers[0], ""
}

func afterHashes(text string) (found []string) {
	for line := range strings.Lines(text) {
		if _, a, ok := strings.Cut(line, hashOpen); ok {
			found = append(found, a)
		}
	}
	return found
}

// inBoxes returns what stands in each \boxed{...}; a box without an end makes it nothing.
func inBoxes(text string) (found []string) {
	for {
		_, rest, ok := strings.Cut(text, boxedOpen)
		if !ok {
			return found
		}
		end, depth := -1, 1
		for i := 0; i < len(rest) && end < 0 && depth <= maxBraces; i++ {
			switch rest[i] {
			case '{':
				depth++
			case '}':
				if depth--; depth == 0 {
					end = i
				}
			}
		}
		if end < 0 {
			return nil
		}
		found, text = append(found, rest[:end]), rest[end+1:]
	}
}

// lastNumber is the last number of a text, as it is written there. Digits that touch letters, or digits of other scripts, are none.
func lastNumber(text string) string {
	for end := len(text); end > 0; {
		i := end - 1
		if !isDigit(text[i]) {
			end = i
			continue
		}
		start := i
		for start > 0 && (isDigit(text[start-1]) || (text[start-1] == '.' || text[start-1] == ',') && start > 1 && isDigit(text[start-2])) {
			start--
		}
		before, _ := utf8.DecodeLastRuneInString(text[:start])
		after, _ := utf8.DecodeRuneInString(text[end:])
		number := text[start:end]
		if before == '-' && !endsOperand(text[:start-1]) {
			number = "-" + number
		}
		if !wordly(before) && !wordly(after) {
			return number
		}
		end = start
	}
	return ""
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func wordly(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsNumber(r)) }

// endsOperand tells whether a minus after the text takes away rather than negates.
func endsOperand(text string) bool {
	r, _ := utf8.DecodeLastRuneInString(text)
	return r != utf8.RuneError && (wordly(r) || r == ')' || r == '}')
}

// wrong is a verdict of an answer that is not right, or of none.
func wrong(answer, fault string) Verdict { return Verdict{Answer: answer, Fault: fault} }

func right(answer string) Verdict { return Verdict{Right: true, Answer: answer, Value: 1} }

// same compares an answer with the right one, both in the form that equal answers share.
func same(answer, want string) Verdict {
	if answer != want {
		return wrong(answer, "the answer is not "+want)
	}
	return right(answer)
}

// maxDigits bounds a number that is read.
const maxDigits = 64

// integer reads a whole number in its one form: no plus, no zeros in front, no negative zero, ASCII digits.
func integer(s string) (string, bool) {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(digits) > maxDigits || digits[0] == '0' && s != "0" {
		return "", false
	}
	for i := range len(digits) {
		if !isDigit(digits[i]) {
			return "", false
		}
	}
	return s, true
}

// checkInteger is the checker of tasks whose answer is a whole number.
func checkInteger(mark Mark, want, completion string) Verdict {
	found, fault := Extract(completion, mark)
	if fault != "" {
		return wrong("", fault)
	}
	n, ok := integer(found)
	if !ok {
		return wrong("", "the answer is no whole number")
	}
	return same(n, want)
}
