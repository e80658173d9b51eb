// Package jinja renders the chat templates of models: the part of the Jinja
// language that transformers gives them, with the same white space rules
// (trim_blocks and lstrip_blocks), filters, tests, methods and messages, and with
// {% generation %} blocks, whose places in the text are returned.
//
// Templates come with models and are not trusted: a render has a budget of steps,
// of text and of depth, nothing in it reaches files or the clock, and every error,
// raise_exception included, is an *Error with the line of the template.
//
// What transformers' sandbox refuses is refused here: changing lists and
// dictionaries that were handed in, for one. So are templates in several files
// (extends, include, import). Dates (strftime_now) are not defined, so that equal
// rows give equal tokens on every day; templates that ask whether they are take
// their fixed date.
//
// Start reading at Parse and Template.Render.
package jinja
