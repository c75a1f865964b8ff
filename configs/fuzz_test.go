package configs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse looks for files that make the loader panic, that give both or
// neither of a configuration and an error, whose complaints have no place, or
// that are accepted and then printed as something that is not.
func FuzzParse(f *testing.F) {
	f.Add(Reference())
	f.Add(examples(Reference()))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("<<: {log: {level: info}}"))
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := bytes.Cut(text, []byte("----\n"))
		f.Add(input)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// Files that a fuzzer names may be anything, devices included.
		if bytes.Contains(data, []byte("_file")) {
			return
		}
		cfg, warnings, err := Parse("r.yaml", data, env())
		if (cfg == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", cfg, err)
		}
		var problems Problems
		if err != nil && !errors.As(err, &problems) {
			t.Fatalf("error of type %T", err)
		}
		for _, p := range append(problems, warnings...) {
			if p.File != "r.yaml" || p.What == "" || p.Line > 0 && p.Column == 0 {
				t.Errorf("incomplete problem %#v", p)
			}
			if p.Line > bytes.Count(data, []byte("\n"))+strings.Count(string(data), "\r")+2 {
				t.Errorf("problem behind the end of the file: %s", p)
			}
		}
		if cfg == nil {
			return
		}
		out, err := cfg.YAML()
		if err != nil {
			t.Fatalf("print: %v", err)
		}
		if len(Compare(Merge(Default(), cfg), cfg).Reload) > 0 {
			t.Errorf("Merge lost a key that can be reloaded:\n%s", out)
		}
	})
}
