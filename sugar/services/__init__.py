"""What the tabs do, without a page: one module per tab, with typed requests, results and state.

The page, the API endpoints, MCP and the command line are thin faces over these services. Nothing in here
knows Gradio.
"""
