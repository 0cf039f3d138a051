package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/qarion/qarion/bus"
)

// xcomFlags are those of xcom get.
type xcomFlags struct {
	attempt int
	item    int
	raw     bool
	file    string
}

func (a *app) xcomCommand() *cobra.Command {
	c := &cobra.Command{Use: "xcom", Short: "Values that tasks left for others"}
	var f xcomFlags
	get := &cobra.Command{
		Use: "get RUN TASK", Short: "Print the value that a task left", Args: cobra.ExactArgs(2),
		Long: `Prints the value that a task left, as JSON. Bytes are described there: type, size, hash, and their content in base64 when
they are few. With --raw, or to a file with -O, it is written as it was received: bytes as they are, text without quotes.`,
		Example: `  qarion xcom get last fetch_cart
  qarion xcom get last fetch_cart --jq .items[0].sku
  qarion xcom get last fetch_logo -O logo.png
  qarion xcom get last fetch_cart --item 17        # what one item of a task with for_each left
  qarion xcom get last fetch_cart --attempt 1      # what a failed attempt received`,
		RunE: func(c *cobra.Command, args []string) error { return a.xcomGet(c.Context(), args[0], args[1], &f) },
	}
	get.Flags().IntVar(&f.attempt, "attempt", 0, "what this attempt received, also when it failed because of that")
	get.Flags().IntVar(&f.item, "item", 0, "what this item of a task with for_each left; the first is 1")
	get.Flags().BoolVar(&f.raw, "raw", false, "as it was received, not as JSON")
	get.Flags().StringVarP(&f.file, "file", "O", "", "write it into this file, as it was received")
	list := &cobra.Command{
		Use: "list RUN", Short: "List the values that the tasks of a run left", Args: cobra.ExactArgs(1),
		Example: `  qarion xcom list last
  qarion xcom list last --output json`,
		RunE: func(c *cobra.Command, args []string) error { return a.xcomList(c.Context(), args[0]) },
	}
	c.AddCommand(get, list)
	return c
}

func (a *app) xcomGet(ctx context.Context, ref, task string, f *xcomFlags) error {
	if f.attempt < 0 {
		return usageError(fmt.Errorf("--attempt %d: the first is 1", f.attempt))
	}
	switch {
	case f.item < 0:
		return usageError(fmt.Errorf("--item %d: the first is 1", f.item))
	case f.item > 0 && (f.raw || f.file != "" || f.attempt > 0):
		return usageError(errors.New("--item prints JSON; it goes without --raw, -O and --attempt"))
	}
	if (f.raw || f.file != "") && a.flags.jq != "" {
		return usageError(errors.New("--jq works on JSON; --raw and -O write what was received"))
	}
	s, err := a.anyNode(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	id, err := s.FindRun(ctx, ref)
	if err != nil {
		return refused2(err)
	}
	in := bus.XComRef{Run: string(id), Task: task, Item: f.item, Attempt: f.attempt}
	if f.raw || f.file != "" {
		return a.xcomContent(ctx, s, in, f)
	}
	var v json.RawMessage
	if err := s.Call(ctx, "xcom.get", in, &v); err != nil {
		return refused(err)
	}
	if a.flags.jq != "" {
		return a.printJSON(v)
	}
	_, err = fmt.Fprintf(a.ui.out, "%s\n", v)
	return err
}

// xcomContent writes a value as it was received.
func (a *app) xcomContent(ctx context.Context, s *session, in bus.XComRef, f *xcomFlags) error {
	content, err := s.XCom(ctx, in)
	if err != nil {
		return refused(err)
	}
	r, err := content.Open(ctx)
	if err != nil {
		return refused(err)
	}
	defer r.Close()
	if f.file != "" {
		if err := writeFile(f.file, r); err != nil {
			return fail(err)
		}
		fmt.Fprintf(a.ui.err, "%s: %s\n", f.file, bytesize(content.Size))
		return nil
	}
	if content.Bytes && a.ui.outTerm {
		return fail(fmt.Errorf("%s of %s are nothing for a terminal", bytesize(content.Size), orText(content.ContentType, "no known type")), "write them into a file: -O FILE")
	}
	_, err = io.Copy(a.ui.out, r)
	return err
}

// writeFile writes a file that is there as a whole or not at all. What is no
// file, such as /dev/null, is written as it is.
func writeFile(path string, from io.Reader) error {
	part := path + ".part"
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		part = path
	}
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err = errors.Join(err, f.Close()); err != nil || part == path {
		if part != path {
			_ = os.Remove(part)
		}
		return err
	}
	return os.Rename(part, path)
}
