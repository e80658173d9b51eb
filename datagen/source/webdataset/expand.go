package webdataset

import (
	"fmt"
	"strconv"
	"strings"
)

// maxExpand bounds how many shards one pattern may stand for.
const maxExpand = 100_000

// Expand replaces {000..146} by each number, with as many digits as the bounds
// have, and {a,b} by each word, as shells do. Several braces multiply.
func Expand(pattern string) ([]string, error) {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		return []string{pattern}, nil
	}
	length := strings.IndexByte(pattern[open:], '}')
	if length < 0 {
		return nil, fmt.Errorf("%q: the brace is not closed", pattern)
	}
	inside, rest := pattern[open+1:open+length], pattern[open+length+1:]
	words, err := alternatives(inside)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", pattern, err)
	}
	tails, err := Expand(rest)
	if err != nil {
		return nil, err
	}
	if len(words)*len(tails) > maxExpand {
		return nil, fmt.Errorf("%q stands for more than %d shards: split it", pattern, maxExpand)
	}
	out := make([]string, 0, len(words)*len(tails))
	for _, w := range words {
		for _, t := range tails {
			out = append(out, pattern[:open]+w+t)
		}
	}
	return out, nil
}

func alternatives(inside string) ([]string, error) {
	from, to, ok := strings.Cut(inside, "..")
	if !ok {
		words := strings.Split(inside, ",")
		if len(words) < 2 {
			return nil, fmt.Errorf("use {000..146} or {a,b}, not {%s}", inside)
		}
		return words, nil
	}
	a, errA := strconv.ParseUint(from, 10, 32)
	b, errB := strconv.ParseUint(to, 10, 32)
	if errA != nil || errB != nil || b < a || b-a >= maxExpand {
		return nil, fmt.Errorf("use {000..146} with rising numbers, at most %d of them, not {%s}", maxExpand, inside)
	}
	digits := 0
	if len(from) > 1 && from[0] == '0' || len(to) > 1 && to[0] == '0' {
		digits = max(len(from), len(to))
	}
	out := make([]string, 0, b-a+1)
	for v := a; v <= b; v++ {
		out = append(out, fmt.Sprintf("%0*d", digits, v))
	}
	return out, nil
}
