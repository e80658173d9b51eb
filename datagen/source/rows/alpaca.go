package rows

import (
	"strings"

	"tempera/datagen/example"
)

// alpaca is instructions with their outputs, as Stanford's Alpaca has them.
func alpaca() Format {
	return Format{
		Name: "alpaca", Summary: "Alpaca's: instruction, input, output",
		fits: func(r *record) bool { return r.has("instruction", "output") },
		read: func(r *record) ([]*example.Example, error) {
			prompt, err := instruction(r)
			if err != nil {
				return nil, err
			}
			output, err := r.text("output")
			return one(&example.Example{ID: r.id(), Prompt: example.Plain(prompt), Completion: example.Plain(output)}, err)
		},
	}
}

// instruction is the instruction of a row, and its input below it.
func instruction(r *record) (string, error) {
	text, err := r.text("instruction")
	if err != nil {
		return "", err
	}
	var input string
	if err := r.get("input", &input); err != nil {
		return "", err
	}
	if strings.TrimSpace(input) != "" {
		text += "\n\n" + input
	}
	return text, nil
}
