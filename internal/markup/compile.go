package markup

import (
	"fmt"
	"reflect"
	"text/template/parse"
)

// compiler turns a parsed template into nodes, and says of every value how it is
// escaped.
type compiler struct {
	set  *Set
	tree *parse.Tree
}

func (c *compiler) errorf(at parse.Node, format string, args ...any) error {
	where, _ := c.tree.ErrorContext(at)
	return fmt.Errorf("%s: %w", where, fmt.Errorf(format, args...))
}

// template compiles the whole: it begins and ends in the text of a page, so that
// it may be used wherever text may stand.
func (c *compiler) template() ([]node, error) {
	nodes, end, err := c.list(c.tree.Root, context{})
	if err == nil && end != (context{}) {
		err = c.errorf(c.tree.Root, "template %q ends %s", c.tree.Name, end)
	}
	return nodes, err
}

func (c *compiler) list(list *parse.ListNode, at context) (nodes []node, end context, err error) {
	if list == nil {
		return nil, at, nil
	}
	for _, n := range list.Nodes {
		var made node
		if made, at, err = c.node(n, at); err != nil {
			return nil, at, err
		}
		if made != nil {
			nodes = append(nodes, made)
		}
	}
	return nodes, at, nil
}

func (c *compiler) node(n parse.Node, at context) (node, context, error) {
	switch n := n.(type) {
	case *parse.TextNode:
		end, err := at.after(string(n.Text))
		if err != nil {
			err = c.errorf(n, "%w", err)
		}
		return text(n.Text), end, err
	case *parse.ActionNode:
		e, err := c.pipe(n.Pipe)
		if err != nil {
			return nil, at, err
		}
		if len(n.Pipe.Decl) == 1 {
			return &declare{n.Pipe.Decl[0].Ident[0], n.Pipe.IsAssign, e}, at, nil
		}
		escape, err := at.escaper()
		if err != nil {
			return nil, at, c.errorf(n, "%s stands %w", n, err)
		}
		return &print{e, escape}, at.afterValue(), nil
	case *parse.IfNode:
		return c.branch(&n.BranchNode, false, at)
	case *parse.WithNode:
		return c.branch(&n.BranchNode, true, at)
	case *parse.RangeNode:
		return c.loop(n, at)
	case *parse.TemplateNode:
		if at != (context{}) {
			return nil, at, c.errorf(n, "a template is used %s", at)
		}
		call := &use{name: n.Name}
		if n.Pipe != nil {
			var err error
			if call.data, err = c.pipe(n.Pipe); err != nil {
				return nil, at, err
			}
		}
		return call, at, nil
	case *parse.CommentNode:
		return nil, at, nil
	}
	return nil, at, c.errorf(n, "%s is not known here", n)
}

// branch compiles if and with: both ways lead to the same place in the page.
func (c *compiler) branch(n *parse.BranchNode, dot bool, at context) (node, context, error) {
	b := &branch{dot: dot}
	var err error
	if b.condition, err = c.pipe(n.Pipe); err != nil {
		return nil, at, err
	}
	if len(n.Pipe.Decl) == 1 {
		b.variable = n.Pipe.Decl[0].Ident[0]
	}
	var one, other context
	if b.then, one, err = c.list(n.List, at); err != nil {
		return nil, at, err
	}
	if b.otherwise, other, err = c.list(n.ElseList, at); err != nil {
		return nil, at, err
	}
	end, ok := one.join(other)
	if !ok {
		err = c.errorf(n, "one way ends %s, the other %s", one, other)
	}
	return b, end, err
}

func (c *compiler) loop(n *parse.RangeNode, at context) (node, context, error) {
	l := &loop{}
	var err error
	if l.over, err = c.pipe(n.Pipe); err != nil {
		return nil, at, err
	}
	switch d := n.Pipe.Decl; len(d) {
	case 2:
		l.key, l.element = d[0].Ident[0], d[1].Ident[0]
	case 1:
		l.element = d[0].Ident[0]
	}
	var end, other context
	if l.body, end, err = c.list(n.List, at); err != nil {
		return nil, at, err
	}
	if l.otherwise, other, err = c.list(n.ElseList, at); err != nil {
		return nil, at, err
	}
	if end != at || other != at {
		return nil, at, c.errorf(n, "a repeated part begins %s and ends %s", at, end)
	}
	return l, at, nil
}

// pipe compiles what stands between the braces, or in parentheses.
func (c *compiler) pipe(p *parse.PipeNode) (expression, error) {
	if len(p.Cmds) != 1 {
		return nil, c.errorf(p, "%s: there are no pipes", p)
	}
	args := p.Cmds[0].Args
	name, isCall := args[0].(*parse.IdentifierNode)
	if !isCall {
		if len(args) > 1 {
			return nil, c.errorf(p, "%s: only functions take arguments", p)
		}
		return c.operand(args[0])
	}
	list := make([]expression, len(args)-1)
	for i := range list {
		var err error
		if list[i], err = c.operand(args[i+1]); err != nil {
			return nil, err
		}
	}
	switch name.Ident {
	case "and":
		return &logic{list, false}, nil
	case "or":
		return &logic{list, true}, nil
	}
	return &call{name.Ident, c.set.funcs[name.Ident], list}, nil
}

func (c *compiler) operand(n parse.Node) (expression, error) {
	switch n := n.(type) {
	case *parse.DotNode:
		return dot{}, nil
	case *parse.FieldNode:
		return &fields{dot{}, n.Ident}, nil
	case *parse.VariableNode:
		if len(n.Ident) == 1 {
			return variable(n.Ident[0]), nil
		}
		return &fields{variable(n.Ident[0]), n.Ident[1:]}, nil
	case *parse.ChainNode:
		of, err := c.operand(n.Node)
		return &fields{of, n.Field}, err
	case *parse.PipeNode:
		return c.pipe(n)
	case *parse.IdentifierNode:
		return &call{n.Ident, c.set.funcs[n.Ident], nil}, nil
	case *parse.StringNode:
		return constant(reflect.ValueOf(n.Text)), nil
	case *parse.BoolNode:
		return constant(reflect.ValueOf(n.True)), nil
	case *parse.NumberNode:
		if n.IsInt {
			return constant(reflect.ValueOf(int(n.Int64))), nil
		}
		return constant(reflect.ValueOf(n.Float64)), nil
	}
	return nil, c.errorf(n, "%s is not known here", n)
}
