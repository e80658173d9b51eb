package task

import (
	"strings"

	"tempera/datagen/example"
)

// number is the problems of files whose answer is a number, such as those of GSM8K and SVAMP: "$1,234.50" and "1234.5" are the same answer.
func number() Task {
	return Task{
		Name: "number", Summary: "problems from files whose answer is a number, as in GSM8K",
		Check: func(p *example.Problem, completion string) Verdict {
			want, ok := decimal(p.Answer)
			if !ok {
				return wrong("", "the reference answer is no number")
			}
			found, fault := Extract(completion, Mark(p.Mark))
			if fault != "" {
				return wrong("", fault)
			}
			n, ok := decimal(found)
			if !ok {
				return wrong("", "the answer is no number")
			}
			return same(n, want)
		},
	}
}

// decimal brings a number into one form. It takes a sign, a currency sign before and a percent sign or a point after it, commas between thousands, and a
// fraction in decimals; no exponents, no words, no negative zero.
func decimal(s string) (string, bool) {
	s = strings.TrimSpace(s)
	s, negative := strings.CutPrefix(s, "-")
	s = strings.TrimPrefix(s, "$")
	if !negative {
		s, negative = strings.CutPrefix(s, "-")
	}
	s = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(s, "."), "%"), `\`)
	whole, fraction, _ := strings.Cut(s, ".")
	whole, ok := ungroup(whole)
	if !ok || len(whole)+len(fraction) > maxDigits {
		return "", false
	}
	for i := range len(fraction) {
		if !isDigit(fraction[i]) {
			return "", false
		}
	}
	if whole = strings.TrimLeft(whole, "0"); whole == "" {
		whole = "0"
	}
	if fraction = strings.TrimRight(fraction, "0"); fraction != "" {
		whole += "." + fraction
	}
	if negative && whole == "0" {
		return "", false
	}
	if negative {
		whole = "-" + whole
	}
	return whole, true
}

// ungroup takes the commas between thousands out.
func ungroup(s string) (string, bool) {
	groups := strings.Split(s, ",")
	for i, g := range groups {
		switch {
		case g == "", i > 0 && len(g) != 3, i == 0 && len(groups) > 1 && len(g) > 3:
			return "", false
		}
		for k := range len(g) {
			if !isDigit(g[k]) {
				return "", false
			}
		}
	}
	return strings.Join(groups, ""), true
}

// choice is the problems of files that are answered with the letter of a choice: "B", "(b)" and "B." are the same answer.
func choice() Task {
	return Task{
		Name: "choice", Summary: "problems from files that are answered with the letter of a choice",
		Check: func(p *example.Problem, completion string) Verdict {
			want, ok := letter(p.Answer)
			if !ok {
				return wrong("", "the reference answer is no letter")
			}
			found, fault := Extract(completion, marked(p, Entire))
			if fault != "" {
				return wrong("", fault)
			}
			l, ok := letter(found)
			if !ok {
				return wrong("", "the answer is no single letter")
			}
			return same(l, want)
		},
	}
}

// marked is the mark of a problem, or one instead of its last number where it is a word that is asked for.
func marked(p *example.Problem, instead Mark) Mark {
	if p.Mark == "" {
		return instead
	}
	return Mark(p.Mark)
}

func letter(s string) (string, bool) {
	s = strings.TrimRight(strings.Trim(strings.TrimSpace(s), "()"), ".)")
	if len(s) != 1 {
		return "", false
	}
	c := s[0] &^ 0x20
	return string(rune(c)), c >= 'A' && c <= 'Z'
}

// text is the problems of files whose answer is words, such as the true and false of NLVR: capitals, spaces and a point at the end do not count.
func text() Task {
	return Task{
		Name: "text", Summary: "problems from files whose answer is words, as in NLVR",
		Check: func(p *example.Problem, completion string) Verdict {
			want := phrase(p.Answer)
			if want == "" {
				return wrong("", "the reference answer is empty")
			}
			found, fault := Extract(completion, marked(p, Entire))
			if fault != "" {
				return wrong("", fault)
			}
			return same(phrase(found), want)
		},
	}
}

// phrase brings words into one form.
func phrase(s string) string {
	return strings.Join(strings.Fields(strings.ToLower(strings.TrimRight(strings.TrimSpace(s), "."))), " ")
}
