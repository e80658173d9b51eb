package dag

import (
	"fmt"
	"strings"
)

// Nearest returns the candidate that is most likely meant by word; ok is false
// where none is close. Of equally close ones, the first is taken.
func Nearest(word string, candidates []string) (nearest string, ok bool) {
	w := []rune(strings.ToLower(word))
	if len(w) > 64 {
		return "", false
	}
	best := max(1, len(w)/3) + 1 // at most one edit in three letters
	for _, c := range candidates {
		if d := editDistance(w, []rune(strings.ToLower(c)), best); d < best {
			best, nearest, ok = d, c, true
		}
	}
	return nearest, ok
}

// editDistance counts insertions, deletions, replacements and swaps of
// neighbours, and gives up at limit.
func editDistance(a, b []rune, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		row, last, lastButOne := rows[i%3], rows[(i+2)%3], rows[(i+1)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(replace, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], lastButOne[j-2]+1)
			}
		}
	}
	return rows[len(a)%3][len(b)]
}

// shownNames bounds the lists in messages.
const shownNames = 20

// instead tells what could have been written in place of word: the nearest of
// what there is, or all of it.
func instead(word string, what []string) string {
	if len(what) == 0 {
		return "there are none"
	}
	if n, ok := Nearest(word, what); ok {
		return fmt.Sprintf("did you mean %q?", n)
	}
	if len(what) > shownNames {
		return fmt.Sprintf("there are %s and %d more", strings.Join(what[:shownNames], ", "), len(what)-shownNames)
	}
	return "there are " + strings.Join(what, ", ")
}
