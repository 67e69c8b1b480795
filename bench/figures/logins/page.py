def files(run): return {}
def page(run): return ""
