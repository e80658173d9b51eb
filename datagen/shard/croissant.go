package shard

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"tempera/infra/artifact"
)

// croissantContext is the JSON-LD context that the Croissant format prescribes.
const croissantContext = `{"@language":"en","@vocab":"https://schema.org/","citeAs":"cr:citeAs","column":"cr:column",
"conformsTo":"dct:conformsTo","containedIn":"cr:containedIn","cr":"http://mlcommons.org/croissant/","data":{"@id":"cr:data","@type":"@json"},
"dataType":{"@id":"cr:dataType","@type":"@vocab"},"dct":"http://purl.org/dc/terms/","equivalentProperty":"cr:equivalentProperty",
"examples":{"@id":"cr:examples","@type":"@json"},"extract":"cr:extract","field":"cr:field","fileObject":"cr:fileObject","fileProperty":"cr:fileProperty",
"fileSet":"cr:fileSet","format":"cr:format","includes":"cr:includes","isArray":"cr:isArray","isLiveDataset":"cr:isLiveDataset","jsonPath":"cr:jsonPath",
"key":"cr:key","md5":"cr:md5","parentField":"cr:parentField","path":"cr:path","rai":"http://mlcommons.org/croissant/RAI/","recordSet":"cr:recordSet",
"references":"cr:references","regex":"cr:regex","repeated":"cr:repeated","replace":"cr:replace","samplingRate":"cr:samplingRate","sc":"https://schema.org/",
"separator":"cr:separator","source":"cr:source","subField":"cr:subField","transform":"cr:transform"}`

// The types below are the parts of Croissant 1.1 that a data set of image-text
// pairs needs: files, the sets of members inside them, and how fields are read.
type croissantDataset struct {
	Context      json.RawMessage `json:"@context"`
	Type         string          `json:"@type"`
	ConformsTo   string          `json:"conformsTo"`
	Name         string          `json:"name"`
	Description  string          `json:"description"`
	License      []string        `json:"license,omitempty"`
	Published    string          `json:"datePublished,omitempty"`
	CiteAs       string          `json:"citeAs,omitempty"`
	Distribution []croissantFile `json:"distribution"`
	RecordSet    []croissantSet  `json:"recordSet"`
}

type croissantFile struct {
	Type           string        `json:"@type"`
	ID             string        `json:"@id"`
	Name           string        `json:"name"`
	ContentURL     string        `json:"contentUrl,omitempty"`
	ContentSize    string        `json:"contentSize,omitempty"`
	EncodingFormat string        `json:"encodingFormat"`
	SHA256         string        `json:"sha256,omitempty"`
	ContainedIn    []croissantID `json:"containedIn,omitempty"`
	Includes       []string      `json:"includes,omitempty"`
}

type croissantID struct {
	ID string `json:"@id"`
}

type croissantSet struct {
	Type  string           `json:"@type"`
	ID    string           `json:"@id"`
	Name  string           `json:"name"`
	Key   croissantID      `json:"key"`
	Field []croissantField `json:"field"`
}

type croissantField struct {
	Type       string          `json:"@type"`
	ID         string          `json:"@id"`
	Name       string          `json:"name"`
	DataType   string          `json:"dataType"`
	Source     croissantSource `json:"source"`
	References *croissantID    `json:"references,omitempty"`
}

type croissantSource struct {
	FileSet   croissantID         `json:"fileSet"`
	Extract   map[string]string   `json:"extract"`
	Transform *croissantTransform `json:"transform,omitempty"`
}

type croissantTransform struct {
	Regex string `json:"regex"`
}

func (m Meta) croissant(shards []artifact.File) (string, error) {
	d := croissantDataset{
		Context: json.RawMessage(croissantContext), Type: "sc:Dataset",
		ConformsTo: "http://mlcommons.org/croissant/1.1",
		Name:       cmp.Or(m.Card.PublishedAs, m.Name), Description: m.Card.Description, Published: m.Card.Published,
		CiteAs: strings.Join(m.Card.Credits, "; "),
	}
	if d.Description == "" {
		d.Description = fmt.Sprintf("%d image-text pairs", m.Stats.Records)
	}
	for _, l := range m.Card.License {
		d.License = append(d.License, "https://spdx.org/licenses/"+l+".html")
	}
	var in []croissantID
	for _, f := range shards {
		in = append(in, croissantID{f.Path})
		d.Distribution = append(d.Distribution, croissantFile{
			Type: "cr:FileObject", ID: f.Path, Name: f.Path, ContentURL: f.Path,
			ContentSize: fmt.Sprintf("%d B", f.Size), EncodingFormat: "application/x-tar", SHA256: f.Digest.Hex(),
		})
	}
	images := make([]string, 0, len(m.Stats.Formats))
	for _, f := range sortedKeys(m.Stats.Formats) {
		images = append(images, "*."+f)
	}
	d.Distribution = append(d.Distribution,
		croissantFile{Type: "cr:FileSet", ID: "images", Name: "images", EncodingFormat: "image/*", ContainedIn: in, Includes: images},
		croissantFile{Type: "cr:FileSet", ID: "captions", Name: "captions", EncodingFormat: "text/plain", ContainedIn: in, Includes: []string{"*.txt"}},
		croissantFile{Type: "cr:FileSet", ID: "facts", Name: "facts", EncodingFormat: "application/json", ContainedIn: in, Includes: []string{"*.json"}})
	d.RecordSet = []croissantSet{{Type: "cr:RecordSet", ID: "pairs", Name: "pairs", Key: croissantID{"pairs/key"}, Field: []croissantField{
		pairField("key", "sc:Text", "images"), pairField("image", "sc:ImageObject", "images"),
		pairField("caption", "sc:Text", "captions"), pairField("facts", "sc:Text", "facts"),
	}}}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return "", fmt.Errorf("croissant metadata of data set %s: %w", m.Name, err)
	}
	return string(text) + "\n", nil
}

// pairField reads a member's content, or for the key its name up to the dot.
func pairField(name, dataType, set string) croissantField {
	f := croissantField{
		Type: "cr:Field", ID: "pairs/" + name, Name: name, DataType: dataType,
		Source: croissantSource{FileSet: croissantID{set}, Extract: map[string]string{"fileProperty": "content"}},
	}
	if name == "key" {
		f.Source.Extract = map[string]string{"fileProperty": "filename"}
		f.Source.Transform = &croissantTransform{Regex: `^([^.]+)\.`}
	}
	return f
}
