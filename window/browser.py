"""Show an open matplotlib figure in a browser of this machine: matplotlib's WebAgg, behind a page of ours.

    pyplot.switch_backend("webagg")
    figure = pyplot.figure()
    serve(figure, "My figure", port=0, on_start=timer.start, on_close=stop)      # prints the address; until stop()
"""

from matplotlib.colors import to_hex

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>TITLE</title><script src="/js/mpl.js"></script><style>
  body {margin: 0; min-height: 100vh; display: grid; place-items: center; background: BACKGROUND; color: gray;
        font-family: sans-serif}
  .ui-dialog-titlebar, .mpl-toolbar {display: none}
  #figure div {border: 0 !important; resize: none !important}
</style></head><body><div id="figure"></div><script>
  const socket = new WebSocket(`ws://${location.host}/NUMBER/ws`);
  new mpl.figure(NUMBER, socket, null, document.getElementById("figure"));
  socket.onclose = () => { document.body.textContent = "The program has ended. Start it again, reload this page."; };
  const ours = event => /^( |Arrow.*|Tab|F[1-9])$/.test(event.key) || event.ctrlKey && /^[szyoecv]$/i.test(event.key);
  addEventListener("keydown", event => { if (ours(event)) event.preventDefault(); });  // these keys are for the figure
  addEventListener("wheel", event => {  // over the figure it is for the map, a pinch too
    if (event.target.tagName === "CANVAS") event.preventDefault();
  }, {passive: false});
</script></body></html>"""


def serve(figure, title, port, on_start, on_close):
    """Serve a figure of the WebAgg backend at 127.0.0.1 until `stop`; OSError where the port is taken or not allowed.

    port: 0 for any that is free. on_start: called once the event loop runs. on_close: once the last page is closed.
    """
    from matplotlib.backends.backend_webagg import WebAggApplication
    from tornado.httpserver import HTTPServer
    from tornado.ioloop import IOLoop
    from tornado.netutil import bind_sockets
    from tornado.web import RequestHandler

    class Page(RequestHandler):
        def get(self):
            colour = to_hex(figure.get_facecolor())
            self.write(PAGE.replace("TITLE", title).replace("NUMBER", str(figure.number)).replace("BACKGROUND", colour))

    figure.canvas.handle_dblclick = lambda event: None  # the page sends it besides the two presses it is made of
    manager = figure.canvas.manager

    def remove_web_socket(socket):
        type(manager).remove_web_socket(manager, socket)
        if not manager.web_sockets:
            on_close()

    manager.remove_web_socket = remove_web_socket
    application = WebAggApplication()
    application.add_handlers(".*", [("/", Page)])  # before WebAgg's own page
    try:
        sockets = bind_sockets(port, "127.0.0.1")
    except OSError as error:
        raise OSError(f"--port {port}: {error.strerror}") from error
    server = HTTPServer(application)
    server.add_sockets(sockets)
    print(f"Open http://127.0.0.1:{sockets[0].getsockname()[1]}/ in a browser of this machine; Ctrl-C here ends it.",
          flush=True)
    IOLoop.current().add_callback(on_start)
    IOLoop.current().start()
    server.stop()


def stop():
    """End `serve`, from within its event loop."""
    from tornado.ioloop import IOLoop

    IOLoop.current().stop()
