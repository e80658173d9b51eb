package rows

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"tempera/datagen/example"
)

// nlvr is the Cornell corpus of sentences about pictures: is the sentence true of
// the picture? The first permutation of its boxes is taken, which lies in images/,
// or in a folder of that.
func nlvr() Format {
	return Format{
		Name: "nlvr", Summary: "NLVR's: a sentence that is true or false of a picture",
		fits: func(r *record) bool { return r.has("sentence", "label", "identifier") },
		read: func(r *record) ([]*example.Example, error) { return one(readNLVR(r)) },
	}
}

func readNLVR(r *record) (*example.Example, error) {
	var texts [3]string
	for i, name := range []string{"sentence", "label", "identifier"} {
		var err error
		if texts[i], err = r.text(name); err != nil {
			return nil, err
		}
	}
	label := strings.ToLower(texts[1])
	if label != "true" && label != "false" {
		return nil, fmt.Errorf("label is %q: want true or false", texts[1])
	}
	name, err := r.nlvrImage(texts[2])
	if err != nil {
		return nil, err
	}
	r.images = imageList{name}
	right := 0
	if label == "false" {
		right = 1
	}
	return &example.Example{
		ID: texts[2], Prompt: example.Plain("Is this true of the picture? " + texts[0] + "\nAnswer true or false:"), Completion: example.Plain(label),
		Choices: []string{"true", "false"}, Choice: &right,
		Problem: &example.Problem{Task: "text", Answer: label},
	}, nil
}

// nlvrImage finds the picture of an identifier: <split>-<identifier>-0.png, the
// split being the file's name.
func (r *record) nlvrImage(identifier string) (json.RawMessage, error) {
	if strings.ContainsAny(identifier, "/\\") {
		return nil, errors.New("identifier is a path")
	}
	split := strings.TrimSuffix(path.Base(r.file.name), path.Ext(r.file.name))
	file := split + "-" + identifier + "-0.png"
	var folder json.Number
	_ = r.get("directory", &folder) // a number or a string of one; without it images/ itself
	for _, at := range []string{path.Join("images", file), path.Join("images", folder.String(), file)} {
		if _, err := r.file.beside(at); err == nil {
			return json.Marshal(at)
		}
	}
	return nil, fmt.Errorf("there is no picture images/%s", file)
}
