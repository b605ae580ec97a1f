"""The built site works in a browser: it loads whole, can be searched, and can be read."""

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

FRONT = "/index.html"
GALLERY = "/auto_examples/learning_rate/plot_range_test.html"
REFERENCE = "/generated/skclr.CLRLeNetClassifier.html"
PAGES = [
    FRONT,
    GALLERY,
    REFERENCE,
    "/auto_examples/index.html",
    "/auto_examples/searches/plot_grid_search.html",
    "/api/index.html",
    "/generated/skclr.schedules.cyclical.html",
    "/user_guide/index.html",
    "/user_guide/choosing_a_schedule.html",
    "/user_guide/from_keras.html",
    "/user_guide/batch_size.html",
    "/user_guide/study.html",
]
DESKTOP, TELEPHONE = (1280, 900), (390, 844)


@pytest.fixture
def open_page(driver, address):
    def open_page(page, size=DESKTOP, theme="light"):
        width, height = size
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        driver.get(address + "/objects.inv")  # of the same origin, and without a script
        driver.execute_script(
            "localStorage.setItem('mode', arguments[0]);"
            "localStorage.setItem('theme', arguments[0]);",
            theme,
        )
        for kind in ("browser", "performance"):
            driver.get_log(kind)  # what is read is gone
        driver.get(address + page)
        return driver

    return open_page


def console_errors(driver):
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def requested(driver):
    """Return the addresses that the page has asked for."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


@pytest.mark.parametrize("page", PAGES)
def test_page_loads_without_errors_and_without_another_server(open_page, address, page):
    driver = open_page(page)
    assert console_errors(driver) == []
    hosts = {urlsplit(url).netloc for url in requested(driver) if url.startswith("http")}
    assert hosts == {urlsplit(address).netloc}


@pytest.mark.parametrize(("page", "at_least"), [(FRONT, 2), (GALLERY, 2)])
def test_pictures_are_there(open_page, page, at_least):
    driver = open_page(page)
    widths = driver.execute_async_script(
        """
        const done = arguments[0];
        const pictures = [...document.querySelectorAll(".bd-article img")];
        pictures.forEach(picture => picture.loading = "eager");
        Promise.allSettled(pictures.map(picture => picture.decode()))
            .then(() => done(pictures.map(picture => picture.naturalWidth)));
        """
    )
    assert len(widths) >= at_least
    assert min(widths) >= 300


def test_each_example_of_the_gallery_has_a_picture_of_its_own(site):
    pages = sorted((site / "auto_examples").rglob("plot_*.html"))
    assert len(pages) >= 11
    without = [page.stem for page in pages if "_images/sphx_glr_plot_" not in page.read_text()]
    assert without == []


def test_search_finds_the_classifier(open_page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    driver = open_page("/search.html?q=CLRLeNetClassifier")
    found = WebDriverWait(driver, 30).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, "#search-results li a")
    )
    targets = [link.get_attribute("href") for link in found]
    assert any("generated/skclr.CLRLeNetClassifier.html" in target for target in targets[:3])
    assert console_errors(driver) == []


def test_a_search_is_begun_from_any_page(open_page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    driver = open_page(GALLERY)
    driver.find_element(By.CSS_SELECTOR, ".search-button-field").click()
    field = driver.find_element(By.CSS_SELECTOR, "dialog input[type=search]")
    field.send_keys("BatchDoubling", Keys.ENTER)
    found = WebDriverWait(driver, 30).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, "#search-results li a")
    )
    assert any("BatchDoubling" in link.text for link in found)


def test_formulas_are_drawn_by_the_browser(open_page):
    driver = open_page("/generated/skclr.schedules.cyclical.html")
    height = driver.execute_script(
        "return document.querySelector('.math-block mfrac').getBoundingClientRect().height"
    )
    assert height > 15


TOO_WIDE = """
    const width = document.documentElement.clientWidth;
    const scrolls = element => element.closest(
        "div.highlight, .pst-scrollable-table-container, .math-block, .output_html");
    return [...document.querySelectorAll(".bd-article-container *, .bd-header *, footer *")]
        .filter(e => e.offsetParent !== null && e.getBoundingClientRect().width > 1)
        .filter(e => e.getBoundingClientRect().right > width + 1 && !scrolls(e))
        .map(e => e.tagName + "." + e.className + ": " + e.textContent.trim().slice(0, 60))
        .concat(document.documentElement.scrollWidth > width ? ["the page"] : []);
"""


def test_every_page_fits_a_telephone(open_page, site):
    pages = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    wide = {}
    for path in pages:
        page = f"/{path.relative_to(site).as_posix()}"
        wide[page] = open_page(page, TELEPHONE).execute_script(TOO_WIDE)
    assert len(wide) > 50
    assert {page: elements for page, elements in wide.items() if elements} == {}


# text, background (that of the nearest element that has one) and size of what can be read
CONTRASTS = """
    const rgb = value => value.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b]
        .map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        for (let e = element; e; e = e.parentElement) {
            const color = rgb(getComputedStyle(e).backgroundColor);
            if (color.length === 3 || color[3] > 0.5) return color;
        }
        return [255, 255, 255];
    };
    const texts = [...document.querySelectorAll(
        ".bd-article p, .bd-article li, .bd-article dt, .bd-article dd, .bd-article td, " +
        ".bd-article th, .bd-article h1, .bd-article h2, .bd-article a, .bd-article code, " +
        ".bd-article pre span")];
    return texts.filter(e => e.offsetParent !== null && e.textContent.trim()).map(e => {
        const [a, b] = [rgb(getComputedStyle(e).color), behind(e)].map(light).sort((x, y) => y - x);
        return [(a + 0.05) / (b + 0.05), e.tagName + "." + e.className + ": "
                + e.textContent.trim().slice(0, 40)];
    });
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "page", [FRONT, GALLERY, REFERENCE, "/user_guide/choosing_a_schedule.html"]
)
def test_text_stands_out_from_its_background(open_page, page, theme):
    driver = open_page(page, theme=theme)
    assert driver.execute_script("return document.documentElement.dataset.theme") == theme
    contrasts = driver.execute_script(CONTRASTS)
    assert len(contrasts) > 20
    assert [text for contrast, text in contrasts if contrast < 3] == []


def test_dark_theme_is_dark(open_page):
    driver = open_page(FRONT, theme="dark")
    color = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in color.strip("rgba()").split(",")[:3]) < 64


def test_no_link_within_the_site_is_broken(site):
    tools = Path(__file__).parents[2] / "tools"
    sys.path.insert(0, str(tools))
    try:
        from check_links import broken_links
    finally:
        sys.path.remove(str(tools))
    assert len(list(site.rglob("*.html"))) > 50
    assert broken_links(site) == []
