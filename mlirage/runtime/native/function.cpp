// Calling functions: what runs for every inference is written against CPython directly
// (vectorcall, buffer protocol).
#include "function.h"

#include <structmember.h>

#include <cstddef>

namespace mlirage::python {

namespace {

PyObject* raise_count(const FunctionState& state, Py_ssize_t given) {
  Ref names(PyList_New(0));
  for (const auto& argument : state.arguments) {
    if (!names || PyList_Append(names.object, argument.name.object) != 0) return nullptr;
  }
  Ref comma(PyUnicode_FromString(", "));
  Ref list(comma ? PyUnicode_Join(comma.object, names.object) : nullptr);
  if (!list) return nullptr;
  PyErr_Format(g_python->usage_error, "%s() takes %zu argument%s (%U), got %zd", state.function.name,
               state.arguments.size(), state.arguments.size() == 1 ? "" : "s", list.object, given);
  return nullptr;
}

// Fills |ordered| with the arguments by position and by name.
bool order_arguments(const FunctionState& state, PyObject* const* args, size_t positional, PyObject* names,
                     std::vector<PyObject*>* ordered) {
  const auto named = static_cast<size_t>(PyTuple_GET_SIZE(names));
  ordered->assign(state.arguments.size(), nullptr);
  for (size_t i = 0; i < positional && i < ordered->size(); ++i) (*ordered)[i] = args[i];
  for (size_t k = 0; k < named; ++k) {
    PyObject* name = PyTuple_GET_ITEM(names, static_cast<Py_ssize_t>(k));
    size_t i = 0;
    while (i < ordered->size() && PyUnicode_Compare(state.arguments[i].name.object, name) != 0) ++i;
    if (i == ordered->size() || (*ordered)[i] != nullptr) {
      PyErr_Format(g_python->usage_error,
                   i == ordered->size() ? "%s() has no argument '%U'" : "%s() got argument '%U' twice",
                   state.function.name, name);
      return false;
    }
    (*ordered)[i] = args[positional + k];
  }
  for (size_t i = 0; i < ordered->size(); ++i) {
    if ((*ordered)[i] != nullptr) continue;
    PyErr_Format(g_python->usage_error, "%s() misses argument '%U'", state.function.name,
                 state.arguments[i].name.object);
    return false;
  }
  return true;
}

enum class Mode { CALL, START };

PyObject* call_flat(const FunctionState& state, PyObject* const* args, Mode mode) {
  const size_t count = state.arguments.size();
  Views arguments(count);
  Views results(state.results.size());
  Ref wrap;
  for (size_t i = 0; i < count; ++i) {
    if (!take_argument(state, i, args[i], &arguments, &wrap)) return nullptr;
  }
  if (!check_symbols(state, arguments)) return nullptr;
  if (mode == Mode::START) return start(state, arguments, &results, wrap);
  if (!wait_for_arguments(arguments)) return nullptr;
  mlirage_error_t error;
  error.text[0] = '\0';
  PyThreadState* thread = PyEval_SaveThread();
  const mlirage_status_t status =
      mlirage_session_call(state.session->session, &state.function, count, arguments.values.data(),
                           results.values.size(), results.values.data(), &error);
  PyEval_RestoreThread(thread);
  if (status != MLIRAGE_OK) {
    set_error(status, error);
    return nullptr;
  }
  return make_results(state, args, arguments, results, wrap);
}

PyObject* call_tree(const FunctionState& state, PyObject* const* args, size_t positional, PyObject* names, Mode mode) {
  Ref tuple(PyTuple_New(static_cast<Py_ssize_t>(positional)));
  Ref dictionary(PyDict_New());
  if (!tuple || !dictionary) return nullptr;
  for (size_t i = 0; i < positional; ++i) {
    PyTuple_SET_ITEM(tuple.object, static_cast<Py_ssize_t>(i), Py_NewRef(args[i]));
  }
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (Py_ssize_t k = 0; k < named; ++k) {
    if (PyDict_SetItem(dictionary.object, PyTuple_GET_ITEM(names, k), args[positional + static_cast<size_t>(k)]) != 0) {
      return nullptr;
    }
  }
  Ref flat(PyObject_CallFunctionObjArgs(state.flatten.object, tuple.object, dictionary.object, nullptr));
  if (!flat) return nullptr;
  Ref list(PySequence_Fast(flat.object, "flatten gives a sequence"));
  if (!list) return nullptr;
  if (static_cast<size_t>(PySequence_Fast_GET_SIZE(list.object)) != state.arguments.size()) {
    return raise_count(state, PySequence_Fast_GET_SIZE(list.object));
  }
  return call_flat(state, PySequence_Fast_ITEMS(list.object), mode);
}

PyObject* invoke(const FunctionState& state, PyObject* const* args, size_t positional, PyObject* names, Mode mode) {
  const size_t named = names == nullptr ? 0 : static_cast<size_t>(PyTuple_GET_SIZE(names));
  if (state.flatten) return call_tree(state, args, positional, names, mode);
  if (positional + named != state.arguments.size()) {
    return raise_count(state, static_cast<Py_ssize_t>(positional + named));
  }
  if (named == 0) return call_flat(state, args, mode);
  std::vector<PyObject*> ordered;
  return order_arguments(state, args, positional, names, &ordered) ? call_flat(state, ordered.data(), mode) : nullptr;
}

void function_deallocate(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<Function*>(self)->state;
  PyObject_Free(self);
  Py_DECREF(type);
}

PyObject* function_repr(PyObject* self) {
  return PyUnicode_FromFormat("<mlirage function %s>", reinterpret_cast<Function*>(self)->state->function.name);
}

PyObject* function_name(PyObject* self, void*) {
  return PyUnicode_FromString(reinterpret_cast<Function*>(self)->state->function.name);
}

PyMethodDef function_methods[] = {
    {"start", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function_start)),
     METH_FASTCALL | METH_KEYWORDS, "Begins a call and returns at once: a `mlirage.runtime.Call` to wait for."},
    {nullptr, nullptr, 0, nullptr},
};
PyMemberDef function_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Function, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyGetSetDef function_properties[] = {
    {"__name__", function_name, nullptr, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyType_Slot function_slots[] = {
    {Py_tp_dealloc, reinterpret_cast<void*>(function_deallocate)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_repr, reinterpret_cast<void*>(function_repr)},
    {Py_tp_methods, function_methods},
    {Py_tp_members, function_members},
    {Py_tp_getset, function_properties},
    {Py_tp_doc, const_cast<char*>("A function of a loaded module: arrays in, a tuple of arrays out.")},
    {0, nullptr},
};

}  // namespace

PyObject* function_call(PyObject* self, PyObject* const* args, size_t flagged_count, PyObject* names) {
  const FunctionState& state = *reinterpret_cast<Function*>(self)->state;
  const auto positional = static_cast<size_t>(PyVectorcall_NARGS(flagged_count));
  PyObject* results = invoke(state, args, positional, names, Mode::CALL);
  if (results == nullptr || !state.unflatten) return results;
  Ref flat(results);
  return PyObject_CallOneArg(state.unflatten.object, flat.object);
}

PyObject* function_start(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  const FunctionState& state = *reinterpret_cast<Function*>(self)->state;
  return invoke(state, args, static_cast<size_t>(count), names, Mode::START);
}

PyType_Spec function_spec = {"mlirage.runtime._runtime.Function", sizeof(Function), 0,
                             Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                             function_slots};

}  // namespace mlirage::python
