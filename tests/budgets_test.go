package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// Budgets for what a reader has to keep in mind at once. A file or a function
// over its budget says why in a comment that begins with "budget:".
const (
	maxFile     = 400 // lines
	maxFunction = 60  // lines, of the body
	maxNesting  = 3   // blocks in a function's body
	maxParams   = 5
)

func TestBudgets(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		checkFile(t, files, path, file)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// checkFile judges a file and its functions.
func checkFile(t *testing.T, files *token.FileSet, path string, file *ast.File) {
	t.Helper()
	n := files.File(file.FileStart).LineCount()
	if n > maxFile && !explained(file, file.FileStart, file.Package) {
		t.Errorf("%s has %d lines, at most %d", path, n, maxFile)
	}
	test := strings.HasSuffix(path, "_test.go")
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil || explained(file, start(f), f.End()) {
			continue
		}
		if n := lineOf(files, f.Body.End()) - lineOf(files, f.Body.Pos()) - 1; n > maxFunction && !test {
			t.Errorf("%s: %s has %d lines, at most %d", path, f.Name.Name, n, maxFunction)
		}
		if n := nesting(f.Body); n > maxNesting && !test {
			t.Errorf("%s: %s nests %d deep, at most %d", path, f.Name.Name, n, maxNesting)
		}
		if n := f.Type.Params.NumFields(); n > maxParams {
			t.Errorf("%s: %s has %d parameters, at most %d", path, f.Name.Name, n, maxParams)
		}
	}
}

// start is where a function begins, with its comment.
func start(f *ast.FuncDecl) token.Pos {
	if f.Doc != nil {
		return f.Doc.Pos()
	}
	return f.Pos()
}

// explained tells whether a comment between the two gives a reason.
func explained(file *ast.File, from, to token.Pos) bool {
	for _, c := range file.Comments {
		if c.Pos() >= from && c.End() <= to && strings.Contains(c.Text(), "budget:") {
			return true
		}
	}
	return false
}

func lineOf(files *token.FileSet, p token.Pos) int { return files.Position(p).Line }

// nesting counts how deep if, for, switch and select stand in each other; an
// "else if" is as deep as its if, and a function literal begins anew.
func nesting(body *ast.BlockStmt) int {
	deepest := 0
	var walk func(n ast.Node, depth int)
	walk = func(n ast.Node, depth int) {
		ast.Inspect(n, func(m ast.Node) bool {
			if m == nil || m == n {
				return true
			}
			switch m := m.(type) {
			case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
				inner := depth + 1
				if parent, ok := n.(*ast.IfStmt); ok && parent.Else == m {
					inner = depth
				}
				deepest = max(deepest, inner)
				walk(m, inner)
				return false
			case *ast.FuncLit:
				walk(m.Body, 0)
				return false
			}
			return true
		})
	}
	walk(body, 0)
	return deepest
}
