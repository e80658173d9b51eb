package rows

import (
	"errors"
	"fmt"

	"tempera/datagen/example"
)

// pandaLM is two responses to an instruction with the votes of three people (0: a
// tie, 1 or 2), as PandaLM's test set has them. The majority decides; without one
// the row says nothing. The margin is the share of votes that the better one is ahead by.
func pandaLM() Format {
	return Format{
		Name: "pandalm", Summary: "PandaLM's: two responses to an instruction, and votes",
		fits: func(r *record) bool { return r.has("instruction", "response1", "response2", "annotator1") },
		read: readPandaLM,
	}
}

func readPandaLM(r *record) ([]*example.Example, error) {
	prompt, err := instruction(r)
	if err != nil {
		return nil, err
	}
	var first, second string // one may be empty: that is why it loses
	if err := errors.Join(r.need("response1", "response2"), r.get("response1", &first), r.get("response2", &second)); err != nil {
		return nil, err
	}
	var votes [3]int
	all := 0
	for i := 1; ; i++ {
		name := fmt.Sprintf("annotator%d", i)
		if !r.has(name) {
			break
		}
		var v int
		if err := r.get(name, &v); err != nil {
			return nil, err
		}
		if v < 0 || v > 2 {
			return nil, fmt.Errorf("%s is %d: a vote is 0, 1 or 2", name, v)
		}
		votes[v]++
		all++
	}
	if all == 0 {
		return nil, r.need("annotator1")
	}
	if max(votes[1], votes[2]) <= votes[0] || votes[1] == votes[2] {
		return nil, skipError("no response has a majority")
	}
	if votes[2] > votes[1] {
		first, second = second, first
		votes[1], votes[2] = votes[2], votes[1]
	}
	return one(&example.Example{
		Prompt: example.Plain(prompt), Chosen: example.Plain(first), Rejected: example.Plain(second),
		Margin: float64(votes[1]-votes[2]) / float64(all),
	}, nil)
}
