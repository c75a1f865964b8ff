package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds the size of a configuration file in bytes.
const maxFile = 4 << 20

// Env is what a configuration takes from outside its file.
type Env struct {
	// Lookup resolves ${NAME} in secrets; nil knows no variable. The program
	// passes os.LookupEnv.
	Lookup func(name string) (value string, ok bool)
	// Now decides whether a certificate has expired; zero means the present.
	Now time.Time
}

// Load reads and checks the file at path. It reports all problems at once: the
// error is of type Problems and matches ErrInvalid. Warnings do not keep the
// server from starting. `reveille check` and `reveille serve` both call it.
func Load(path string, env Env) (cfg *Config, warnings Problems, err error) {
	data, err := readFile(path)
	if err != nil {
		return nil, nil, Problems{{File: path, What: "cannot be read: " + cause(err)}}
	}
	return Parse(path, data, env)
}

// Parse is Load for data that was read already. Relative paths in it start at
// the folder of name.
func Parse(name string, data []byte, env Env) (cfg *Config, warnings Problems, err error) {
	if env.Lookup == nil {
		env.Lookup = func(string) (string, bool) { return "", false }
	}
	if env.Now.IsZero() {
		env.Now = time.Now()
	}
	cfg = Default()
	l := &loader{name: name, dir: filepath.Dir(name), env: env, nodes: map[string]*yaml.Node{}}
	if root := l.parse(data); root != nil {
		l.decode(root, reflect.ValueOf(cfg).Elem(), "", field{})
	}
	// Values of the wrong type are left at their defaults, so that the checks
	// that follow can still run and find the rest.
	l.check(cfg)
	errs, warnings := l.problems.split()
	if len(errs) > 0 {
		return nil, warnings, errs
	}
	return cfg, warnings, nil
}

// readFile reads a file of bounded size.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // Nothing was written.
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("larger than %d bytes", maxFile)
	}
	return data, err
}

// readStart reads at most as much of a file as readFile does.
func readStart(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // Nothing was written.
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// cause returns the reason of a file error without the path, which the
// Problem names already.
func cause(err error) string {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// A loader turns one file into a Config and gathers what is wrong with it.
type loader struct {
	name string
	dir  string
	env  Env
	// nodes are the values found in the file, by path, for later complaints.
	nodes    map[string]*yaml.Node
	problems Problems
}

// field carries the struct tags that a value's decoder needs.
type field struct{ bounds string }

// problem records a complaint about the value at node.
func (l *loader) problem(node *yaml.Node, path, what, hint string) {
	p := Problem{File: l.name, Path: path, What: what, Hint: hint}
	if node != nil {
		p.Line, p.Column = node.Line, node.Column
	}
	l.problems = append(l.problems, p)
}

// at returns the node of path or, for a value that is not in the file, of the
// nearest key around it that is.
func (l *loader) at(path string) *yaml.Node {
	for path != "" {
		if n := l.nodes[path]; n != nil {
			return n
		}
		path = parent(path)
	}
	return nil
}

// parent returns the path around a path; empty for the file.
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

// errorAt records a complaint about a path.
func (l *loader) errorAt(path, what, hint string) { l.problem(l.at(path), path, what, hint) }

// warnAt records a complaint that does not keep the server from starting.
func (l *loader) warnAt(path, what, hint string) {
	l.errorAt(path, what, hint)
	l.problems[len(l.problems)-1].Warning = true
}

// yamlError matches "yaml: line 3: what", the form in which the YAML package
// reports where a file is broken.
var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?((?s:.*))$`)

// parse returns the root of the file's only document, or nil if it is empty or
// broken.
func (l *loader) parse(data []byte) *yaml.Node {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		l.syntax(err)
		return nil
	}
	var more yaml.Node
	if err := dec.Decode(&more); err == nil {
		l.problem(&more, "", "a second YAML document begins", "one file holds one configuration; remove the line ---")
	} else if !errors.Is(err, io.EOF) {
		l.syntax(err)
	}
	return doc.Content[0]
}

// syntax records that the file is no YAML.
func (l *loader) syntax(err error) {
	what, line := err.Error(), 1
	if m := yamlError.FindStringSubmatch(what); m != nil {
		what = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		// The YAML package counts lines from 0 when its parser complains and from
		// 1 when its scanner does.
		if strings.HasPrefix(what, "did not find expected") {
			line++
		}
	}
	hint := ""
	if strings.Contains(what, "character that cannot start any token") || strings.Contains(what, "found a tab") {
		hint = "indent with spaces, not tabs"
	}
	l.problem(&yaml.Node{Line: line, Column: 1}, "", "not YAML: "+what, hint)
}
